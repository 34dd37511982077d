"""Laws of every class of nodule: what sets it apart, and what stays the same."""

from dataclasses import replace
from math import e, pi

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.measure import marching_cubes, mesh_surface_area

from drrx.nodule.composite import STRAND_HU, Targets, composite
from drrx.nodule.draw_shape import add_cavity, add_core, draw_body
from drrx.nodule.figure import CLASSES, draw_class, make_scene, render_tile
from drrx.nodule.form import DrawnForm
from drrx.nodule.labels import IS_LUNG, grow, sample_labels
from drrx.nodule.measure import measure_nodule
from drrx.nodule.model import Draft, draw_nodule
from drrx.nodule.neighbours import draw_tags, find_neighbours
from drrx.nodule.presets import PRESETS
from drrx.nodule.sample import render_nodule, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, add_strands, render_shape
from drrx.nodule.surface import Body
from drrx.nodule.texture import make_deviation
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule_shape import Inclusion, NoduleShape, Spicule, Texture
from drrx.records.patch import NodulePatch
from drrx.seeds import make_rng
from drrx.volume import Volume

UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
LUNG_HU = -860.0
NO_BLUR = (0.0, 0.0, 0.0)


def ball(radius=6.0, exponent=0.0, **more):
    return NoduleShape(radius, (1.0, 1.0, 1.0), UPRIGHT, (), exponent, **more)


def draw(seed, low=14.0, high=24.0, **chosen):
    return draw_nodule(make_rng(seed), SampleNodulesSettings(**chosen), low, high)


def in_lung(rendered, kind, targets):
    lung = np.full(rendered.occupancy.shape, LUNG_HU, np.float32)
    return composite(lung, rendered, kind, targets, LUNG_HU)


def make_slab(vessel=True):
    """Lung between two flat walls of tissue at y = +-30 mm, with a thick vessel along z at (x, y) = (20, 0)."""
    shape = (70, 120, 120)
    labels = np.full(shape, Label.BODY, np.uint8)
    volume = Volume.from_spacing(labels, (2.0, 1.0, 1.0), (-60.0, -60.0, -70.0))
    axes = [np.arange(n) for n in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    x, y = x - 60.0, y - 60.0
    lung = (np.abs(y) < 30) & (np.abs(x) < 45) & (z > 2) & (z < 67)
    labels[lung & (x < 0)], labels[lung & (x >= 0)] = Label.LOBE_RIGHT_UPPER, Label.LOBE_LEFT_UPPER
    if vessel:
        labels[lung & ((x - 20) ** 2 + y**2 <= 9)] = Label.VESSEL_LEFT
    hu = np.where(IS_LUNG[labels], LUNG_HU, 40).astype(np.int16)
    return Volume(hu, volume.world_from_index), Anatomy(volume)


@pytest.fixture(scope="module")
def slab():
    return make_slab()


# --- body and margin


def test_lobulated_and_spiculated_bodies_have_more_surface_than_smooth_ones():
    def sphericity(margin, seed):
        share = render_shape(replace(draw_body(make_rng(seed), margin, 16.0), spicules=()), 0.5).occupancy
        vertices, faces, _, _ = marching_cubes(share, 0.3)
        return pi ** (1 / 3) * (6 * (share > 0.3).sum()) ** (2 / 3) / mesh_surface_area(vertices, faces)

    means = {m: np.mean([sphericity(m, s) for s in range(8)]) for m in ("smooth", "lobulated", "spiculated")}
    assert means["smooth"] > means["lobulated"] + 0.02
    assert means["smooth"] > means["spiculated"] + 0.02


def test_harmonics_have_the_strength_of_their_class():
    for margin, low, high in (("smooth", 0.06, 0.12), ("lobulated", 0.10, 0.20), ("spiculated", 0.09, 0.18)):
        for seed in range(20):
            shape = draw_body(make_rng(seed), margin, 14.0)
            rms = np.linalg.norm([value for _, _, value in shape.harmonics]) / np.sqrt(4 * pi)
            assert low - 1e-9 <= rms <= high + 1e-9
            assert {"smooth": 0, "lobulated": 2, "spiculated": 19}[margin] >= len(shape.spicules)
            assert len(shape.spicules) == 19 or margin != "spiculated"  # 8 + 0.8 D


def test_surface_from_the_centre_is_where_the_rendered_body_ends():
    shape = replace(draw(3, kind="solid", margin="lobulated").form.shape, spicules=(), texture=None)
    body, rendered = Body(shape), render_shape(replace(shape, margin_exponent=0.0), 0.25)
    directions = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1], [0.6, 0.8, 0], [0, -0.6, 0.8]])
    steps = np.arange(0, 2 * body.largest_mm, 0.02)
    for u, reach in zip(directions, body.reach_mm(directions), strict=True):
        at = rendered.center_index[:, None] + (u[::-1, None] * steps) / 0.25
        share = map_coordinates(rendered.occupancy, at, order=1)
        assert steps[np.flatnonzero(share > 0.5)[-1]] == pytest.approx(reach, abs=0.15)


def test_spicules_of_a_drawn_nodule_reach_their_length():
    shape = replace(draw(4, kind="solid", margin="spiculated").form.shape, texture=None)
    rendered = render_shape(shape, 0.25)
    body = Body(shape)
    steps = np.arange(0, 30, 0.05)
    for spicule in shape.spicules:
        u = np.array(spicule.direction)
        surface = float(body.reach_mm(u[None])[0])
        at = rendered.center_index[:, None] + (u[::-1, None] * steps) / 0.25
        share = map_coordinates(rendered.occupancy, at, order=1)
        # the tip is thinner than some voxels, so its share is small, but it is there all the way
        assert share[(steps > 0.1 * surface) & (steps < surface + spicule.length_mm - 0.5)].min() > 0.05


# --- parts


def test_cavities_come_with_their_share_and_in_large_solid_nodules_only():
    drafts = [draw(s, kind="solid", cavity_share=0.3) for s in range(150)]
    large = [d for d in drafts if d.diameter_mm > 15]
    assert np.mean([d.form.shape.cavity is not None for d in large]) == pytest.approx(0.3, abs=0.08)
    assert all(d.form.shape.cavity is None for d in drafts if d.diameter_mm <= 15)
    for d in drafts:
        assert (d.form.shape.cavity is None) == (d.targets.cavity is None)
        assert d.targets.cavity is None or -950 <= d.targets.cavity <= -850
    assert all(draw(s, kind=k, cavity_share=1.0).form.shape.cavity is None for s in range(5) for k in ("calcified",))


@pytest.mark.parametrize("seed", range(4))
def test_wall_of_a_cavity_is_as_thick_as_recorded(seed):
    shape = add_cavity(make_rng(seed), replace(draw_body(make_rng(seed), "smooth", 22.0), margin_exponent=0.0))
    recorded = (1 - shape.cavity.ratio) * shape.radius_mm
    assert 2 <= recorded <= 6
    rendered = render_shape(shape, 0.35)
    after = in_lung(rendered, "solid", Targets(30.0, cavity=-900.0))
    wall = rendered.occupancy - np.minimum(rendered.cavity, rendered.occupancy)
    inner = float(rendered.cavity.sum(dtype=float)) * 0.35**3
    outer = rendered.volume_mm3
    assert (outer ** (1 / 3) - inner ** (1 / 3)) * (3 / (4 * pi)) ** (1 / 3) == pytest.approx(recorded, abs=0.15)
    assert inner == pytest.approx(shape.cavity.ratio**3 * outer, rel=0.02)
    assert after[rendered.cavity > 0.999].max() == pytest.approx(-900, abs=1)
    assert after[wall > 0.999].min() == pytest.approx(30, abs=1)


def test_a_cavity_is_never_darker_than_air_nor_part_of_the_volume():
    hollow = ball(10.0, cavity=Inclusion((0.1, 0.0, 0.0), 0.7))
    rendered = render_shape(hollow, 0.35)
    np.testing.assert_array_equal(rendered.occupancy, render_shape(ball(10.0), 0.35).occupancy)
    after = in_lung(rendered, "solid", Targets(30.0, cavity=-950.0))
    assert after.min() >= -950
    air = np.full(after.shape, -1000, np.float32)  # never brighter or darker than asked for, whatever lies there
    assert composite(air, rendered, "solid", Targets(30.0, cavity=-950.0), LUNG_HU).min() >= -1000


def test_halos_come_with_their_share_around_solid_nodules_only():
    for margin, expected in (("smooth", 0.0), ("lobulated", 0.1), ("spiculated", 0.2)):
        drafts = [draw(s, kind="solid", margin=margin) for s in range(70)]
        halos = [d.form.shape.halo_width_mm for d in drafts if d.form.shape.halo_width_mm > 0]
        assert len(halos) / len(drafts) == pytest.approx(expected, abs=0.1 if expected else 0)
        assert all(1 <= width <= 4 for width in halos)
        assert all((d.targets.halo is None) == (d.form.shape.halo_width_mm == 0) for d in drafts)
    assert all(draw(s, kind="part_solid", margin="spiculated").targets.halo is None for s in range(30))


def test_halo_lies_between_lung_and_body():
    rendered = render_shape(ball(6.0, halo_width_mm=3.0), 0.3)
    after = in_lung(rendered, "solid", Targets(20.0, halo=-600.0))
    rim = (rendered.occupancy == 0) & (rendered.halo > 0.001)
    assert LUNG_HU < after[rim].min() <= after[rim].max() <= -600 + 1e-3
    assert after[(rendered.occupancy == 0) & (rendered.halo == 0)].max() == LUNG_HU


def test_core_of_a_part_solid_nodule_is_inside_and_off_a_bulls_eye():
    for seed in range(5):
        shape = add_core(make_rng(seed), draw_body(make_rng(seed), "smooth", 16.0))
        rendered = render_shape(shape, 0.6)
        assert (rendered.inclusion <= rendered.occupancy).all()
        assert 0.25**3 * 0.5 < rendered.inclusion.sum() / rendered.occupancy.sum() < 0.75**3 * 1.5
        assert 2 <= len(shape.inclusions) <= 3


def test_solid_core_and_axes_are_measured():
    rendered = render_shape(ball(8.0, inclusions=(Inclusion((0.0, 0.0, 0.0), 0.5),)), 0.3)
    targets = Targets(-600.0, 0.0)
    after = in_lung(rendered, "part_solid", targets)
    lung = np.full(after.shape, LUNG_HU, np.float32)
    patch = NodulePatch(rendered.occupancy, lung, after, rendered.place(np.zeros(3)))
    labels = np.full(after.shape, Label.LOBE_LEFT_UPPER, np.uint8)
    everywhere = np.ones(after.shape, bool)
    draft = Draft("part_solid", "smooth", 16.0, DrawnForm(ball(8.0)), targets)
    measures = measure_nodule(patch, rendered, draft, LUNG_HU, 20.0, labels, everywhere)
    assert measures.solid_core_diameter_mm == pytest.approx(8.0, abs=0.1)
    assert measures.axes_mm == pytest.approx((16.0, 16.0, 16.0), abs=0.2)
    assert measures.delta_hu_ratio == pytest.approx(1.0)
    hollow = render_shape(ball(8.0, cavity=Inclusion((0.0, 0.0, 0.0), 0.5)), 0.3)
    draft = replace(draft, kind="solid", targets=Targets(20.0, cavity=-900.0))
    measures = measure_nodule(patch, hollow, draft, LUNG_HU, 20.0, labels, everywhere)
    assert measures.solid_core_diameter_mm == pytest.approx(16 * (1 - 0.125) ** (1 / 3), abs=0.1)


# --- texture


@pytest.mark.parametrize(("sd", "correlation"), [(15.0, 1.0), (40.0, 3.0)])
def test_texture_has_the_deviation_and_correlation_asked_for(sd, correlation):
    h = 0.3
    field = make_deviation(Texture(sd, correlation, 7), np.ones((110, 110, 110), np.float32), h)
    assert field.mean(dtype=float) == pytest.approx(0, abs=1e-3)
    assert field.std(dtype=float) == pytest.approx(sd, rel=1e-4)
    power = np.abs(np.fft.fftn(field)) ** 2
    correlations = np.fft.ifftn(power).real
    along = correlations[0, 0] / correlations[0, 0, 0]
    assert np.interp(correlation / h, np.arange(len(along)), along) == pytest.approx(1 / e, abs=0.04)
    assert np.interp(3 * correlation / h, np.arange(len(along)), along) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(("kind", "target"), [("solid", 20.0), ("ground_glass", -600.0)])
def test_texture_adds_nothing_in_the_mean_and_comes_again(kind, target):
    plain = ball(8.0)
    form = DrawnForm(replace(plain, texture=Texture(40.0, 2.0, 5)))
    rendered = form.render(0.35, (2.0, 1.0, 1.0))
    uneven, again = form.complete(rendered, NO_BLUR), form.complete(rendered, NO_BLUR)
    np.testing.assert_array_equal(uneven.deviation_hu, again.deviation_hu)
    even, textured = in_lung(rendered, kind, Targets(target)), in_lung(uneven, kind, Targets(target))
    added = (even - LUNG_HU).sum(dtype=float)
    assert (textured - LUNG_HU).sum(dtype=float) == pytest.approx(added, rel=1e-4)
    inside = rendered.occupancy > 0.999
    assert (textured - even)[inside].std() == pytest.approx(40.0, rel=0.1)
    other = DrawnForm(replace(plain, texture=Texture(40.0, 2.0, 6))).complete(rendered, NO_BLUR)
    assert np.corrcoef(other.deviation_hu.ravel(), uneven.deviation_hu.ravel())[0, 1] < 0.3


# --- strands


def test_rays_meet_a_flat_pleura_and_a_vessel_where_geometry_says(slab):
    around = find_neighbours(slab[1].labels, np.array([8.0, 14.0, 0.0]), 5.0)
    u = around.directions
    seen = np.isfinite(around.pleura_mm)
    assert 20 < seen.sum() < 600
    np.testing.assert_allclose(around.pleura_mm[seen] * u[seen, 1], 15.5, atol=0.9)  # the wall begins at y = 29.5
    met = np.isfinite(around.vessel_mm)
    points = np.array([8.0, 14.0]) + around.vessel_mm[met, None] * u[met, :2]
    assert met.sum() > 3
    np.testing.assert_allclose(np.hypot(points[:, 0] - 20, points[:, 1]), 3.0, atol=1.0)


def test_strands_end_at_pleura_and_vessel_and_are_no_part_of_the_nodule(slab):
    _, anatomy = slab
    center = np.array([8.0, 14.0, 3.0])
    plain = DrawnForm(ball(5.0))
    form = plain.hold_on(make_rng(1), anatomy.labels, center, 3, 3)
    assert len(form.shape.tags) == 3
    assert len(form.shape.vessels) >= 1
    for tag in form.shape.tags:
        end = center + (5.0 + tag.length_mm) * np.array(tag.direction)
        assert end[1] == pytest.approx(29.5, abs=1.0)
        assert tag.length_mm < 15
        assert 0.6 <= tag.tip_mm <= tag.base_mm <= 1.5
    for vessel in form.shape.vessels:
        x, y, _ = center + (5.0 + vessel.length_mm) * np.array(vessel.direction)
        assert np.hypot(x - 20, y) == pytest.approx(3.0, abs=1.2)
    rendered = form.render(0.35, (2.0, 1.0, 1.0))
    full = form.complete(rendered, (2.0, 1.0, 1.0))
    assert full.occupancy.sum(dtype=float) == rendered.occupancy.sum(dtype=float)
    labels = sample_labels(anatomy.labels, full.strands.shape, full.place(center))
    lung = grow(IS_LUNG[labels], 1.0, (0.35,) * 3)
    assert full.strands[~lung].sum() < 0.06 * full.strands.sum()
    for tag in form.shape.tags:  # drawn without a gap, from the body to the wall
        steps = np.arange(5.0, 5.0 + tag.length_mm - 0.3, 0.1)
        at = full.center_index[:, None] + np.array(tag.direction)[::-1, None] * steps / 0.35
        assert map_coordinates(full.strands, at, order=1).min() > 0.05


def test_strands_are_dense_and_keep_the_grid_in_place():
    shape = ball(5.0, tags=(Spicule((0.0, 0.6, 0.8), 6.0, 1.5, 1.2),))
    rendered = render_shape(shape, 0.3).crop()
    full = add_strands(rendered, shape, NO_BLUR)
    shift = full.center_index - rendered.center_index
    window = tuple(slice(a, a + n) for a, n in zip(shift, rendered.occupancy.shape, strict=True))
    np.testing.assert_array_equal(full.occupancy[window], rendered.occupancy)
    after = in_lung(full, "ground_glass", Targets(-600.0))
    outside = full.occupancy == 0
    assert after[outside].max() == pytest.approx(STRAND_HU, abs=20)
    assert (after >= LUNG_HU - 1e-3).all()


def test_short_strands_come_first(slab):
    around = find_neighbours(slab[1].labels, np.array([8.0, 14.0, 3.0]), 5.0)
    lengths = around.pleura_mm - 5.0
    within = lengths[(lengths > 1.5) & (lengths < 15)]
    drawn = [draw_tags(make_rng(s), around, np.full(len(lengths), 5.0), 1)[0].length_mm for s in range(60)]
    assert np.mean(drawn) < within.mean() - 0.4
    assert min(drawn) >= within.min()


def test_no_strands_where_there_is_nothing_to_hold_on_to():
    _, anatomy = make_slab(vessel=False)
    form = DrawnForm(ball(3.0)).hold_on(make_rng(1), anatomy.labels, np.array([5.0, 0.0, 0.0]), 3, 3)
    assert form.shape.vessels == ()
    assert form.shape.tags == ()  # the wall is 26 mm from the surface


def test_strands_rise_with_size_and_spicules():
    def mean(margin, diameter):
        drafts = [draw(s, diameter, diameter + 0.1, margin=margin) for s in range(60)]
        return np.mean([d.num_tags + d.num_vessels for d in drafts])

    assert mean("smooth", 20.0) < mean("lobulated", 20.0) < mean("spiculated", 20.0)
    assert mean("spiculated", 8.0) < 0.7 * mean("spiculated", 20.0)
    assert all(draw(s, strands=False).num_tags == 0 for s in range(20))


# --- presets


def test_presets_choose_and_explicit_settings_win():
    assert {draw(s, 10.0, 30.0, preset="visible").kind for s in range(40)} == {"solid"}
    assert {draw(s, 10.0, 30.0, preset="visible", kind="ground_glass").kind for s in range(10)} == {"ground_glass"}
    assert {draw(s, 10.0, 30.0, preset="hidden").kind for s in range(60)} > {"solid", "ground_glass"}
    assert PRESETS["visible"].zone_weights == {"free": 1.0}
    assert "free" not in PRESETS["hidden"].zone_weights
    assert set(PRESETS["visible"].zone_weights) | set(PRESETS["hidden"].zone_weights) == {
        "apical", "hilar", "retrocardiac", "subdiaphragm", "free",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["solid", "part_solid", "ground_glass", "calcified"])
@pytest.mark.parametrize("margin", ["smooth", "lobulated", "spiculated"])
def test_every_class_has_its_volume_and_renders_again_bit_for_bit(slab, kind, margin):
    settings = SampleNodulesSettings(
        kind=kind, margin=margin, diameter_min_mm=8.0, diameter_max_mm=11.0, juxtapleural_share=0.0, edge_margin_mm=0.0
    )
    sample = sample_nodules(*slab, settings, 2)
    (nodule,), (patch,) = sample.nodules, sample.patches
    assert patch.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.005)
    again = render_nodule(nodule, *slab)
    for name in ("occupancy", "hu_before", "hu_after", "world_from_index"):
        np.testing.assert_array_equal(getattr(again, name), getattr(patch, name))


@pytest.mark.parametrize("kind", ["solid", "ground_glass"])
def test_a_nodule_cut_by_the_pleura_has_its_volume_within_two_percent(slab, kind):
    settings = SampleNodulesSettings(
        kind=kind, diameter_min_mm=8.0, diameter_max_mm=11.0, juxtapleural_share=1.0, edge_margin_mm=0.0
    )
    sample = sample_nodules(*slab, settings, 3)
    (nodule,), (patch,) = sample.nodules, sample.patches
    assert nodule.attachment == "juxtapleural"
    assert nodule.shape.tags == ()
    assert patch.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.02)
    np.testing.assert_array_equal(render_nodule(nodule, *slab).hu_after, patch.hu_after)


def test_parts_of_one_grid_move_together():
    rendered = RenderedShape(np.eye(5, dtype=np.float32)[None].repeat(5, 0), 0.5, np.array([2, 2, 2]))
    blurred = rendered.blur((1.0, 1.0, 2.0))
    pad = blurred.center_index - rendered.center_index
    assert (np.array(blurred.occupancy.shape) == 5 + 2 * pad).all()
    np.testing.assert_allclose(blurred.place(np.ones(3)) @ [*blurred.center_index, 1], [1, 1, 1, 1])


def test_picture_shows_every_class():
    assert {draw_class(name).kind for name in CLASSES} == {"solid", "part_solid", "ground_glass", "calcified"}
    tile = render_tile("calcified: diffuse", *make_scene())
    rows, columns = tile.shape
    assert (rows, tile.dtype) == (2 * columns, np.uint8)
    assert tile[columns // 2, columns // 2] == 255  # calcium is beyond the window
    assert tile[columns + 2, 2] == 0  # nothing is added in the corner
