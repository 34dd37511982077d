"""Completion beyond the field of view: nothing inside changes, and what is added comes near to what was cut off."""

import json

import numpy as np
import pytest

from drrx.geometry import Pose, View, ViewName, make_standard_view
from drrx.projector.border import AIR_HU, Border
from drrx.projector.field import MAX_END_MM, Completion, complete_field
from drrx.projector.outline import MAX_ADDED_MM, RIM_MM
from drrx.projector.project import project_volume
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.sides import SIDES
from drrx.projector.window import make_view
from drrx.records.anatomy import Anatomy, Label
from drrx.stages.project_ct import project_case
from drrx.volume import Volume

SPACING_MM = (5.0, 1.2, 1.2)
SHAPE = (16, 320, 320)
SKIN_HU = -500
LATERAL, PA = ViewName.parse("lateral"), ViewName.parse("pa")


def make_trunk(semi_mm=(100.0, 165.0), middle_mm=(0.0, 0.0), taper=0.0) -> Volume:
    """Make an elliptic cylinder of water in noisy air, wider upward by ``taper``; semi-axes, middle: (row, column)."""
    rng = np.random.default_rng(0)
    rows, columns = (
        ((np.arange(n) - (n - 1) / 2) * mm - at) / semi
        for n, mm, at, semi in zip(SHAPE[1:], SPACING_MM[1:], middle_mm, semi_mm, strict=True)
    )
    widths = 1 + taper * np.arange(SHAPE[0]) / SHAPE[0]
    radius = np.hypot(rows[:, None], columns) / widths[:, None, None]
    share = np.clip((1 - radius) * min(semi_mm) / SPACING_MM[1] + 0.5, 0, 1)
    values = np.rint((share - 1) * 1000 + rng.normal(0, 12, SHAPE) * (share == 0)).astype(np.int16)
    return Volume.from_spacing(values, SPACING_MM, (7.0, -3.0, 20.0))


def find_body(ct: Volume) -> np.ndarray:
    return ct.values > SKIN_HU


def cut_circle(ct: Volume, radius_mm: float) -> tuple[Volume, np.ndarray]:
    rows, columns = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(ct.shape[1:], ct.spacing_mm[1:], strict=True))
    seen = np.hypot(rows[:, None], columns) <= radius_mm
    return ct.with_values(np.where(seen, ct.values, np.int16(AIR_HU))), seen


def cut_square(ct: Volume, half_mm: float) -> tuple[Volume, np.ndarray]:
    part = tuple(slice(n // 2 - round(half_mm / mm), n // 2 + round(half_mm / mm)) for n, mm in
                 zip(ct.shape[1:], ct.spacing_mm[1:], strict=True))  # fmt: skip
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(np.array([0, part[0].start, part[1].start]))
    values = ct.values[:, *part].copy()
    return Volume(values, affine), np.ones(values.shape[1:], bool)


def view_of(ct: Volume, name=PA) -> View:
    settings = ProjectCtSettings(size_px=96, detector_mm=430.0, source_to_center_lateral_mm=1500.0)
    return make_view(ct, settings, name)


def project_water(ct: Volume, view: View, completion: Completion | None = None) -> np.ndarray:
    """Project the body, and what was added at its sides."""
    image = project_volume(ct.with_values(np.where(find_body(ct), ct.values + 1000, 0)), view)
    sides = [] if completion is None else [part for name, part in completion.parts.items() if name in SIDES]
    return sum((project_volume(part.with_values(part.values - AIR_HU), view) for part in sides), image) / 1000


def middle_rows(image: np.ndarray) -> np.ndarray:
    return image[42:54]


CUTS = [(cut_circle, 145.0), (cut_circle, 135.0), (cut_square, 145.0), (cut_square, 135.0)]


@pytest.mark.parametrize(("cut", "size_mm"), CUTS)
def test_a_cut_trunk_comes_near_to_the_whole_one(cut, size_mm):
    whole = make_trunk()
    ct, _ = cut(whole, size_mm)
    view = view_of(whole)
    truth = middle_rows(project_water(whole, view))
    bare = middle_rows(project_water(ct, view))
    found = middle_rows(project_water(ct, view, complete_field(ct, find_body(ct), view)))
    lost = truth - bare > 2.0
    assert lost.any()
    np.testing.assert_allclose(found[~lost & (truth > 0)], bare[~lost & (truth > 0)], atol=6.0)
    error = np.sqrt(np.mean((found - truth)[lost] ** 2) / np.mean(truth[lost] ** 2))
    assert error < 0.2
    assert error < 0.4 * np.sqrt(np.mean((bare - truth)[lost] ** 2) / np.mean(truth[lost] ** 2))


@pytest.mark.parametrize(("cut", "size_mm"), CUTS[1::2])
def test_no_edge_shows_where_the_field_of_view_ends(cut, size_mm):
    whole = make_trunk()
    ct, _ = cut(whole, size_mm)
    view = view_of(whole)
    truth, bare, found = (
        np.abs(np.diff(middle_rows(project_water(*case)), axis=1))
        for case in ((whole, view), (ct, view), (ct, view, complete_field(ct, find_body(ct), view)))
    )
    columns = view.project_points(whole.center_world_mm + np.array([[-size_mm, 0, 0], [size_mm, 0, 0]]))[:, 1]
    near = [slice(int(column) - 3, int(column) + 3) for column in columns]
    for part in near:
        assert bare[:, part].max() > 2 * truth[:, part].max()
        assert found[:, part].max() < 1.4 * truth[:, part].max()


@pytest.mark.parametrize("name", [PA, LATERAL])
def test_side_views_and_cut_backs_are_completed_alike(name):
    whole = make_trunk(semi_mm=(165.0, 100.0) if name is LATERAL else (100.0, 165.0))
    ct, _ = cut_circle(whole, 145.0)
    view = view_of(whole, name)
    completion = complete_field(ct, find_body(ct), view)
    assert completion.to_json()["truncated_sides"] == (["back", "front"] if name is LATERAL else ["left", "right"])
    truth, bare = middle_rows(project_water(whole, view)), middle_rows(project_water(ct, view))
    lost = truth - bare > 2.0
    found = middle_rows(project_water(ct, view, completion))
    assert np.sqrt(np.mean((found - truth)[lost] ** 2)) < 0.2 * np.sqrt(np.mean(truth[lost] ** 2))


@pytest.mark.parametrize(("cut", "size_mm"), CUTS)
def test_nothing_inside_the_field_of_view_changes(cut, size_mm):
    ct, seen = cut(make_trunk(), size_mm)
    before = ct.values.copy()
    completion = complete_field(ct, find_body(ct), view_of(ct))
    np.testing.assert_array_equal(ct.values, before)
    inside = np.broadcast_to(seen, ct.shape) & find_body(ct)
    for name in completion.to_json()["truncated_sides"]:
        part = completion.parts[name]
        assert (part.values > AIR_HU).any()
        index = np.argwhere(part.values > AIR_HU)
        index = np.rint(ct.to_index(part.to_world(index))).astype(int)
        in_grid = ((index >= 0) & (index < ct.shape)).all(axis=1)
        assert not inside[tuple(index[in_grid].T)].any()


def test_measured_tissue_that_the_body_mask_left_out_at_the_border_is_kept():
    ct, seen = cut_circle(make_trunk(), 148.0)
    body = find_body(ct)
    rim = np.broadcast_to(seen & ~cut_circle(ct, 145.5)[1], ct.shape)
    completion = complete_field(ct, body & ~rim, view_of(ct))
    part = completion.parts["left"]
    rows, columns = np.arange(SHAPE[1])[:, None], np.arange(SHAPE[2])
    index = np.argwhere(rim & (columns > 160) & (np.abs(rows - 160) < 30))
    there = np.rint(part.to_index(ct.to_world(index))).astype(int)
    np.testing.assert_allclose(part.values[tuple(there.T)], ct.values[tuple(index.T)], atol=1)
    assert RIM_MM > 2.5


@pytest.mark.parametrize("air", ["noisy", "ideal"])
@pytest.mark.parametrize("semi_mm", [(90.0, 130.0), (120.0, 120.0)])
def test_a_whole_body_gets_nothing(air, semi_mm):
    ct = make_trunk(semi_mm)
    if air == "ideal":
        ct = ct.with_values(np.where(ct.values > -990, ct.values, np.int16(AIR_HU)))
    view = make_standard_view(ct.center_world_mm, size_px=32, detector_mm=80.0)
    completion = complete_field(ct, find_body(ct), view)
    assert completion.parts == {}
    assert completion.to_json() == Completion().to_json()


def test_no_body_gets_nothing():
    ct = make_trunk()
    assert complete_field(ct, np.zeros(ct.shape, bool), view_of(ct)).parts == {}


@pytest.mark.parametrize(("middle_mm", "side"), [
    ((0.0, 90.0), "left"), ((0.0, -90.0), "right"), ((90.0, 0.0), "back"), ((-90.0, 0.0), "front"),
])  # fmt: skip
def test_sides_are_the_patients(middle_mm, side):
    ct, _ = cut_circle(make_trunk((80.0, 80.0), middle_mm), 150.0)
    view = make_standard_view(ct.center_world_mm, size_px=32, detector_mm=100.0)
    record = complete_field(ct, find_body(ct), view).to_json()
    assert record["truncated_sides"] == [side]
    assert record["truncated_share"] == 1.0
    assert 5.0 < record["widest_mm"] <= MAX_ADDED_MM
    assert json.loads(json.dumps(record)) == record


def test_slices_fit_their_neighbours():
    whole = make_trunk((85.0, 135.0), taper=0.3)
    ct, _ = cut_circle(whole, 145.0)
    view = view_of(whole)
    completion = complete_field(ct, find_body(ct), view)
    assert 0.2 < completion.truncated_share < 0.9
    for part in (completion.parts["left"], completion.parts["right"]):
        width_mm = ((part.values - AIR_HU) / 1000.0).sum(axis=2).max(axis=1) * SPACING_MM[2]
        steps = np.diff(width_mm)
        assert width_mm[-1] > 10.0
        assert np.abs(steps).max() < 4.0  # the whole one's semi-axis grows by up to 1.7 mm per slice
        assert np.abs(np.diff(steps)).max() < 4.0


def test_values_go_on_without_a_step():
    trunk = make_trunk()
    columns = np.arange(SHAPE[2])
    bone = find_body(trunk) & (np.abs(np.arange(SHAPE[1]) - 166)[:, None] < 12) & (columns > 250)
    ct, seen = cut_circle(trunk.with_values(np.where(bone, np.int16(700), trunk.values)), 148.0)
    part = complete_field(ct, find_body(ct), view_of(ct)).parts["left"]
    row = int(np.rint(part.to_index(ct.to_world(np.array([0, 166, 0])))[1]))
    first, line = np.argmax(~seen[166] & (columns > 250)), part.values[8, row]
    line = line[int(np.rint(part.to_index(ct.to_world(np.array([0, 0, first])))[2])) :].astype(float)
    assert line[0] == pytest.approx(700, abs=200)
    inner = line[: int(10 / SPACING_MM[2])]
    assert (np.diff(inner) < 0).all()
    assert line[int(10 / SPACING_MM[2])] < 250  # bone is not drawn out into a rod


def test_extended_scan_fills_the_detector_and_keeps_the_inside():
    volume = Volume.from_spacing(np.full((10, 40, 40), 40, np.int16), (5.0, 5.0, 5.0))
    view = make_view(volume, ProjectCtSettings(size_px=32, detector_mm=150.0))
    completion = complete_field(volume, np.ones(volume.shape, bool), view)
    ends = [completion.parts[name] for name in ("below", "above")]
    water = [part.with_values((part.values - AIR_HU) / 1040.0) for part in (volume, *completion.parts.values())]
    image = sum(project_volume(part, view) for part in water)
    assert image.min() > 200.0 * 0.99  # every ray crosses the whole depth
    assert image.max() < 200.0 + 2.2 * MAX_ADDED_MM
    np.testing.assert_allclose(ends[0].to_world(np.array([ends[0].shape[0], 0, 0]))[2], volume.to_world(np.zeros(3))[2])
    np.testing.assert_allclose(ends[1].to_world(np.array([-1, 0, 0]))[2], volume.to_world(np.array([9, 0, 0]))[2])
    assert ends[0].shape[0] * 5.0 == completion.added_below_mm > 0
    assert ends[1].shape[0] * 5.0 == completion.added_above_mm > 0


@pytest.mark.parametrize("name", ["pa", "ap", "lateral"])
def test_longer_scan_is_as_long_as_rays_need(name):
    ct = make_trunk((90.0, 130.0))
    view = view_of(ct, ViewName.parse(name))
    completion = complete_field(ct, find_body(ct), view)
    parts = [ct, completion.parts["below"], completion.parts["above"]]
    image = sum(project_volume(part.with_values(np.float32(part.values > SKIN_HU)), view) for part in parts)
    center = image[:, 48]
    assert center.min() > 0.95 * center[48]  # also in the outermost rows
    needed_mm = 430.0 / 2 * (1 - (200.0 if name != "lateral" else 300.0) / 1800.0) - SHAPE[0] * SPACING_MM[0] / 2
    assert needed_mm < completion.added_above_mm < needed_mm + 25.0


def test_turned_and_tilted_views_are_filled_too():
    ct = make_trunk((90.0, 130.0))
    pose = Pose(rotation_deg=12.0, tilt_deg=8.0, roll_deg=5.0)
    view = pose.move(view_of(ct), ct.center_world_mm)
    completion = complete_field(ct, find_body(ct), view)
    parts = [ct, completion.parts["below"], completion.parts["above"]]
    image = sum(project_volume(part.with_values(np.float32(part.values > SKIN_HU)), view) for part in parts)
    assert image[[0, -1], 44:52].min() > 0.9 * image[48, 48]
    assert (
        min(completion.added_below_mm, completion.added_above_mm)
        > complete_field(ct, find_body(ct), view_of(ct)).added_above_mm
    )


@pytest.mark.parametrize("num_slices", [1, 2, 3])
def test_few_slices_are_enough(num_slices):
    ct, _ = cut_circle(make_trunk(), 145.0)
    few = Volume(ct.values[:num_slices], ct.world_from_index)
    record = complete_field(few, find_body(few), view_of(few)).to_json()
    assert record["truncated_sides"] == ["left", "right"]
    assert 10.0 < record["widest_mm"] < 30.0


def test_views_along_the_body_and_huge_detectors_are_taken():
    ct = make_trunk((90.0, 130.0))
    step = np.array([4.0, 0.0, 0.0]), np.array([0.0, 4.0, 0.0])
    above = View(
        ct.center_world_mm + np.array([0, 0, 1500]),
        ct.center_world_mm - np.array([128, 128, 300]),
        *step,
        (64, 64),
        "odd",
    )
    assert complete_field(ct, find_body(ct), above).parts == {}
    wide = make_standard_view(ct.center_world_mm, size_px=32, detector_mm=2000.0)
    completion = complete_field(ct, find_body(ct), wide)
    assert completion.added_below_mm == completion.added_above_mm == MAX_END_MM


def test_the_end_slices_keep_the_mass_of_water():
    ct = make_trunk((90.0, 130.0))
    above = complete_field(ct, find_body(ct), view_of(ct)).parts["above"]
    area = lambda volume: ((volume.values - AIR_HU) / 1000.0).sum(axis=(1, 2)) * np.prod(volume.spacing_mm[1:])  # noqa: E731
    np.testing.assert_allclose(area(above), np.pi * 90 * 130, rtol=0.05)


def test_the_circle_is_found_wherever_it_lies():
    ct, _ = cut_circle(make_trunk(), 148.0)
    border = Border.find(ct, find_body(ct))
    assert border.circle_mm == pytest.approx(148.0, abs=1.5)
    wider = Volume.from_spacing(np.pad(ct.values, ((0, 0), (10, 40), (0, 30)), constant_values=AIR_HU), SPACING_MM)
    shifted = Border.find(wider, find_body(wider))
    assert shifted.circle_mm == pytest.approx(border.circle_mm)
    np.testing.assert_allclose(shifted.center_mm, border.center_mm + np.array([12.0, 0.0]))


def test_the_grid_is_the_border_where_no_circle_shows():
    ct = make_trunk()
    border = Border.find(ct, find_body(ct))
    assert border.circle_mm == np.inf
    np.testing.assert_allclose(border.radius_mm(np.array([0.0, 1.0, 0.6]), np.array([1.0, 0.0, 0.8])), [192, 192, 240])


def test_the_stage_adds_what_is_completed_and_says_so():
    ct, _ = cut_circle(make_trunk(), 140.0)
    labels = np.where(find_body(ct), Label.BODY, Label.OUTSIDE).astype(np.uint8)
    view = view_of(ct)
    maps, record = project_case(ct, Anatomy(ct.with_values(labels)), view)
    parts = {
        name: project_volume(part.with_values(np.clip(part.values, -1000, 0) + np.int16(1000)), view) / 1000
        for name, part in complete_field(ct, find_body(ct), view).parts.items()
    }
    water_mm = project_water(ct, view) + sum(parts.values())
    np.testing.assert_allclose(maps["water_mm"], water_mm, atol=0.5)
    sides = sum(float(image.sum()) for name, image in parts.items() if name in SIDES)
    assert record["completed_share_sides"] == pytest.approx(sides / water_mm.sum(), rel=0.01)
    assert record["completed_share_ends"] > 0.3  # 80 mm of scan on a detector of 430 mm
    assert record["truncated_sides"] == ["left", "right"]
