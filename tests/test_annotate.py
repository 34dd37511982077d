"""Boxes, masks, sizes and signal of a nodule whose shadow is known in closed form."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.spatial.transform import Rotation

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.mask import box_of, decode_mask, encode_mask, place_window
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow, shadows_from_arrays, shadows_to_arrays
from drrx.annotate.signal import Pair, find_neighbourhood, matched_filter_d_prime
from drrx.errors import CaseRefused, DrrxError
from drrx.geometry import Pose, make_standard_view
from drrx.records.annotation import ImageAnnotation
from drrx.records.nodule import Nodule, NoduleMeasures
from drrx.records.nodule_shape import NoduleShape

SETTINGS = AnnotateCxrSettings()
VIEW = make_standard_view(np.zeros(3), size_px=256)
PITCH = 430 / 256
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def make_nodule(center=(30.0, 20.0, -40.0), diameter=24.0, kind="solid"):
    measures = NoduleMeasures(
        centroid_world_mm=center, volume_mm3=np.pi / 6 * diameter**3, axes_mm=(24.0, 24.0, 24.0), axes_world=IDENTITY,
        long_axis_axial_mm=24.0, short_axis_axial_mm=24.0, solid_core_diameter_mm=24.0, hu_lung_local=-860.0,
        hu_mean_inserted=0.0, delta_hu_ratio=1.0, peak_log_signal=0.4, pleura_distance_mm=20.0,
        airway_fraction=0.0, vessel_fraction=0.0, outside_lung_fraction=0.0, zone_fractions={"free": 1.0},
    )  # fmt: skip
    shape = NoduleShape(diameter / 2, (1.0, 1.0, 1.0), IDENTITY, (), 0.0)
    return Nodule(
        nodule_id="n1", origin="simulated", seed=1, preset="cxr", kind=kind, margin="smooth", attachment="isolated",
        center_world_mm=center, diameter_mm=diameter, shape=shape, transplant=None, hu_body=20.0,
        hu_inclusion=None, hu_halo=None, hu_cavity=None, psf_fwhm_mm=(0.0, 0.0, 0.0), grid_spacing_mm=0.35,
        lobe_approx="lobe_left_upper", zone="free", num_attempts=1,
        measures=measures,
    )  # fmt: skip


def make_shadow(nodule, view=VIEW, window=True):
    """Exact chords of the rays through a ball."""
    rows, columns = np.meshgrid(*[np.arange(n) for n in view.shape], indexing="ij")
    rays = view.pixel_world_mm(rows, columns) - view.source_world_mm
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    to_center = np.array(nodule.center_world_mm) - view.source_world_mm
    away2 = (to_center**2).sum() - (rays @ to_center) ** 2
    path = 2 * np.sqrt(np.maximum(0, (nodule.diameter_mm / 2) ** 2 - away2)).astype(np.float32)
    row = column = 0
    if window:
        at = np.argwhere(path > 0)
        (row, column), high = at.min(0) - 2, at.max(0) + 3
        path = path[row : high[0], column : high[1]]
    return Shadow(path, path * np.float32(0.0178), int(row), int(column))


def make_pair(shadow, texture=0.02, seed=0, gain=0.3, shape=VIEW.shape):
    rng = np.random.default_rng(seed)
    twin = (0.4 + texture * rng.normal(size=shape)).astype(np.float32)
    positive = twin.copy()
    h, w = shadow.path_mm.shape
    positive[shadow.row : shadow.row + h, shadow.column : shadow.column + w] += gain * shadow.delta_line_integral
    return Pair(twin, positive)


def annotate_one(nodule, shadow, drr, cxr, maps=None, settings=SETTINGS, facts=None, view=VIEW):
    """The record of one nodule in one image."""
    finding = Finding(nodule, shadow, drr, cxr)
    return annotate_image(("c", "v1", "pa"), [finding], view, maps or {}, settings, facts or {}).nodules[0]


def annotate(nodule=None, texture=0.02, **more):
    nodule = nodule or make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow, texture)
    return annotate_one(nodule, shadow, pair, more.pop("cxr", pair), **more)


def test_boxes_are_the_closed_form_of_a_ball():
    record = annotate()
    magnified = 24.0 * record.magnification / PITCH
    # A chord falls to a share f of the longest one at radius R sqrt(1 - f^2).
    for box, fraction in ((record.bbox_visual, 0.2), (record.bbox_core, 0.5), (record.bbox_full, 0.02)):
        expected = magnified * np.sqrt(1 - fraction**2)
        assert box[2] == pytest.approx(expected, abs=1.5)
        assert box[3] == pytest.approx(expected, abs=1.5)
    (fx, fy, fw, fh), (vx, vy, vw, vh), (cx, cy, cw, ch) = record.bbox_full, record.bbox_visual, record.bbox_core
    assert fx <= vx <= cx
    assert fy <= vy <= cy
    assert fx + fw >= vx + vw >= cx + cw
    assert fy + fh >= vy + vh >= cy + ch


def test_sizes_in_the_patient_do_not_depend_on_magnification():
    for depth in (-80.0, 0.0, 80.0):
        record = annotate(make_nodule((10.0, depth, 5.0)))
        assert record.magnification == pytest.approx(1800 / (1600 - depth), rel=1e-6)
        assert record.diameter_patient_mm == pytest.approx(24 * np.sqrt(1 - 0.2**2), rel=0.04)
        assert record.peak_path_mm == pytest.approx(24, abs=0.3)


def test_centres_agree_and_follow_the_edge_convention():
    record = annotate()
    row, column = VIEW.project_points(np.array([30.0, 20.0, -40.0]))
    assert record.center_px == pytest.approx((column + 0.5, row + 0.5))
    np.testing.assert_allclose(record.centroid_px, record.center_px, atol=0.3)
    x, y, w, h = record.bbox_visual
    np.testing.assert_allclose((x + w / 2, y + h / 2), record.center_px, atol=0.8)
    assert record.center_px[0] > 128  # the patient's left is on the image's right
    assert record.center_px[1] > 128  # feet are down


POSE = Pose(rotation_deg=3.0, tilt_deg=-2.0, roll_deg=1.5, distance_mm=25.0, shift_column_mm=8.0, shift_row_mm=-6.0)
#: Axes of each image in LPS: to its right, down, and towards the source.
AXES = {
    "pa": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "ap": ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "lateral": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
}


def move_and_project(point, projection, pose, view):
    """Turn and shift the patient, then similar triangles: shares nothing with ``View`` but its definition."""
    right, down, to_source = np.array(AXES[projection], float)
    out = np.cross(right, -down)  # towards who looks at the image
    turns = [-down * pose.rotation_deg, right * pose.tilt_deg, out * pose.roll_deg]
    for turn in turns:
        point = Rotation.from_rotvec(turn, degrees=True).apply(point)
    point = point + right * pose.shift_column_mm + down * pose.shift_row_mm
    magnification = (1800 + pose.distance_mm) / (1600 + pose.distance_mm - point @ to_source)
    pitch_mm = 430 / view.shape[0]
    return [point @ axis * magnification / pitch_mm + view.shape[0] / 2 for axis in (right, down)], magnification


@pytest.mark.parametrize("projection", ["pa", "ap", "lateral"])
@pytest.mark.parametrize("pose", [Pose(), POSE], ids=["exact", "jittered"])
def test_centre_is_the_projected_point_in_every_view(projection, pose):
    view = pose.move(make_standard_view(np.zeros(3), projection=projection, size_px=256), np.zeros(3))
    for center in ((30.0, 20.0, -40.0), (-90.0, 60.0, 80.0), (100.0, -90.0, -110.0)):
        nodule = make_nodule(center, diameter=14.0)
        record = annotate_one(nodule, make_shadow(nodule, view), make_pair(make_shadow(nodule, view)), None, view=view)
        expected, magnification = move_and_project(np.array(center), projection, pose, view)
        # The issue asks for 0.1 px; both are exact but for rounding.
        np.testing.assert_allclose(record.center_px, expected, atol=1e-6)
        assert record.magnification == pytest.approx(magnification, rel=1e-9)
        np.testing.assert_allclose(record.centroid_px, expected, atol=0.1)


def test_centroid_of_a_balls_shadow_is_off_by_its_closed_form():
    """Near the source the far half is magnified less: a tight cone shows what hides below 0.03 px in a chest view."""
    view = make_standard_view(np.zeros(3), size_px=512, source_to_detector_mm=400.0, source_to_center_mm=300.0)
    nodule = make_nodule((100.0, 0.0, 0.0), diameter=60.0)
    record = annotate_one(replace(nodule, origin="real"), make_shadow(nodule, view), make_pair(
        make_shadow(nodule, view), shape=view.shape), None, view=view)  # fmt: skip
    # Length of a ray per detector area is volume times H^2 / (h^2 cos): integrate that over the ball.
    z, y, x = np.mgrid[-30:30:121j, -30:30:121j, -30:30:121j]
    inside = x**2 + y**2 + z**2 <= 30**2
    across, height, depth = x[inside] + 100, z[inside], 300 + y[inside]
    weight = np.sqrt(1 + (across**2 + height**2) / depth**2) / depth**2
    expected_mm = 400 * (weight @ (across / depth)) / weight.sum()
    pitch_mm = 430 / 512
    offset_px = record.centroid_px[0] - record.center_px[0]
    assert offset_px == pytest.approx((expected_mm - 400 * 100 / 300) / pitch_mm, abs=0.02)
    # To second order in the radius: 4/5 (r / h)^2 of the distance from the axis.
    assert offset_px == pytest.approx(0.8 * (30 / 300) ** 2 * 400 * 100 / 300 / pitch_mm, rel=0.1)
    assert record.centroid_px[1] == pytest.approx(record.center_px[1], abs=0.02)


def test_mask_is_the_visual_box_and_survives_its_code():
    record = annotate()
    mask = decode_mask(record.mask)
    assert mask.shape == VIEW.shape
    assert mask.sum() == record.area_px
    assert box_of(mask) == record.bbox_visual
    code = {"size": list(record.mask.size), "counts": record.mask.counts}
    assert coco_mask.area(code) == record.area_px
    np.testing.assert_allclose(coco_mask.toBbox(code), record.bbox_visual)


def flatten(value, name=""):
    """Numbers of nested JSON by name."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    if isinstance(value, (bool, int, float)):
        return {name: value}
    return {key: number for part, inside in items for key, number in flatten(inside, f"{name}.{part}").items()}


def test_window_and_full_map_give_the_same_record():
    nodule = make_nodule()
    part, whole = make_shadow(nodule), make_shadow(nodule, window=False)
    pair = make_pair(part)
    records = [annotate_one(nodule, s, pair, pair) for s in (part, whole)]
    assert records[0].mask == records[1].mask
    first, second = (flatten(record.to_json()) for record in records)
    assert len(first) > 60
    assert first == pytest.approx(second, rel=1e-4, abs=1e-4)


def test_signal_is_the_twin_difference():
    record = annotate(texture=0.02)
    assert record.before.contrast_peak == pytest.approx(0.3 * 24 * 0.0178, rel=0.02)
    assert record.before.background_sd == pytest.approx(0.02, rel=0.1)
    assert record.before.cnr == pytest.approx(record.before.contrast_mean / record.before.background_sd)
    assert record.delta_log_peak == pytest.approx(24 * 0.0178, rel=0.02)


def test_d_prime_in_white_noise_is_the_matched_filter_closed_form():
    # White noise of sd s: sd(w b) = s |w|, answer = |w|^2 (zero-mean template), so d' = |w| / s.
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:160, :160] + 0.5
    signal = 0.05 * (np.hypot(rows - 80, columns - 80) < 10)
    around = find_neighbourhood((80.0, 80.0), 20.0, None, (160, 160))
    twin = 0.5 + 0.1 * rng.normal(size=(160, 160))
    window = (around.rows, around.columns)
    got = matched_filter_d_prime(signal[window], twin[window], around)
    disc = around.distance_px <= 17.0
    template = (signal[window] - signal[window][disc].mean()) * disc
    assert got == pytest.approx(np.linalg.norm(template) / 0.1, rel=0.2)


def test_d_prime_finds_the_answer_at_the_nodules_place():
    """The spread is taken around the nodule, not somewhere else: a bright bar far away must not count."""
    rows, columns = np.mgrid[:200, :200] + 0.5
    signal = 0.1 * (np.hypot(rows - 60, columns - 60) < 8)
    rng = np.random.default_rng(0)
    quiet = 0.3 + 0.01 * rng.normal(size=(200, 200))
    bar = quiet + 0.6 * (columns > 107)
    around = find_neighbourhood((60.0, 60.0), 16.0, None, (200, 200))
    window = (around.rows, around.columns)
    near_bar = quiet + 0.6 * (columns > 70)
    scores = [matched_filter_d_prime(signal[window], image[window], around) for image in (quiet, bar, near_bar)]
    assert scores[1] == pytest.approx(scores[0], rel=0.05)
    assert scores[2] < 0.3 * scores[0]


def test_classes_follow_the_noise():
    classes = [annotate(texture=noise).visibility_class for noise in (0.005, 3.0)]
    assert classes[0] == 3
    assert classes[1] <= 1
    assert annotate(texture=0.005).truth_visible
    assert not annotate(texture=30.0).truth_visible


def test_transfer_ratio_and_leakage():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    drr, cxr = make_pair(shadow), make_pair(shadow, gain=0.15)

    def annotate_pair(cxr):
        findings = [Finding(nodule, shadow, drr, cxr)]
        return annotate_image(("c", "v1", "pa"), findings, VIEW, {}, SETTINGS, {})

    record = annotate_pair(cxr)
    assert record.nodules[0].contrast_transfer_ratio == pytest.approx(0.5, rel=1e-3)
    assert record.leakage == pytest.approx(0, abs=1e-3)
    changed = cxr.positive.copy()
    changed[:20, :20] += 0.5
    assert annotate_pair(Pair(cxr.twin, changed)).leakage > 10
    assert annotate_pair(None).leakage is None
    assert annotate_image(("c", "twin", "pa"), [], VIEW, {}, SETTINGS, {}).leakage is None


def test_each_nodule_is_measured_on_its_own_pair():
    """A real nodule on (removed, twin), an inserted one on (twin, positive); leakage is that of the inserted one."""
    inserted, real = make_nodule(), replace(make_nodule((-50.0, 0.0, 40.0)), origin="real", nodule_id="r1")
    shadows = [make_shadow(inserted), make_shadow(real)]
    removed = make_pair(shadows[1], gain=0.2).twin
    twin = removed + 0.2 * shadows[1].place(shadows[1].delta_line_integral, VIEW.shape)
    positive = twin + 0.3 * shadows[0].place(shadows[0].delta_line_integral, VIEW.shape)
    pairs = [Pair(twin, positive), Pair(removed, twin)]
    findings = [Finding(n, s, p, p) for n, s, p in zip((inserted, real), shadows, pairs, strict=True)]
    record = annotate_image(("c", "v1", "pa"), findings, VIEW, {}, SETTINGS, {})
    peaks = [found.before.contrast_peak / found.delta_log_peak for found in record.nodules]
    assert peaks == pytest.approx([0.3, 0.2], rel=1e-3)
    assert record.leakage == pytest.approx(0, abs=1e-4)
    # What the inserted nodule changes at the real one leaked.
    at_real = shadows[1].place(shadows[1].delta_line_integral, VIEW.shape)
    leaked = [Finding(inserted, shadows[0], pairs[0], Pair(twin, positive + 0.3 * at_real)), findings[1]]
    for order in (leaked, leaked[::-1]):
        assert annotate_image(("c", "v1", "pa"), order, VIEW, {}, SETTINGS, {}).leakage == pytest.approx(1, abs=0.1)
    assert annotate_image(("c", "twin", "pa"), findings[1:], VIEW, {}, SETTINGS, {}).leakage == pytest.approx(
        0, abs=1e-4
    )


def test_without_cxr_the_drr_decides():
    nodule = make_nodule()
    record = annotate(nodule, cxr=None)
    assert record.after is None
    assert record.contrast_transfer_ratio is None
    assert record.visibility_class == record.before.visibility_class


def test_overlap_is_weighted_with_the_path():
    bone = np.zeros(VIEW.shape, np.float32)
    x = annotate().center_px[0]
    bone[:, int(x) :] = 10.0
    lung = np.full(VIEW.shape, 90.0, np.float32)
    overlap = annotate(maps={"bone": bone, "lung": lung}).overlap
    assert overlap.bone_fraction == pytest.approx(0.5, abs=0.08)
    assert overlap.bone_path_mm == pytest.approx(10 * overlap.bone_fraction, rel=1e-5)
    assert overlap.lung_path_mm == pytest.approx(90, rel=1e-5)
    assert overlap.mediastinum_fraction == 0
    nodule = make_nodule()
    measures = replace(nodule.measures, zone_fractions={"subdiaphragm": 0.3, "hilar": 0.7}, vessel_fraction=0.12)
    overlap = annotate(replace(nodule, measures=measures)).overlap
    assert (overlap.subdiaphragm_fraction, overlap.vessel_fraction) == (0.3, 0.12)


def test_inserted_nodule_at_the_border_is_refused_and_a_real_one_flagged():
    assert not annotate().truncated
    edge = make_nodule((182.0, 0.0, 0.0))
    shadow = make_shadow(edge, window=False)
    pair = make_pair(shadow)
    with pytest.raises(CaseRefused, match=r"annotate c_v1_pa n1: found a full box \[.*outer 2 % of the image") as error:
        annotate_one(edge, shadow, pair, None)
    assert error.value.code == "NODULE_CHECK"
    assert annotate_one(replace(edge, origin="real"), shadow, pair, None).truncated


def test_nodule_outside_the_view_is_refused_and_a_real_one_named():
    nodule = make_nodule()
    part = make_shadow(nodule)
    outside = Shadow(part.path_mm, part.delta_line_integral, 1000, 1000)
    pair = make_pair(part)
    with pytest.raises(CaseRefused, match=r"no pixel of the nodule at .* mm on the image.*larger detector") as error:
        annotate_one(nodule, outside, pair, None)
    assert error.value.code == "NODULE_CHECK"
    real = replace(nodule, origin="real", nodule_id="r1")
    findings = [Finding(nodule, part, pair, None), Finding(real, outside, pair, None)]
    record = annotate_image(("c", "v1", "pa"), findings, VIEW, {}, SETTINGS, {})
    assert [found.nodule.nodule_id for found in record.nodules] == ["n1"]
    assert record.outside_view == ("r1",)


def test_what_is_not_as_asked_is_refused():
    nodule = make_nodule()
    with pytest.raises(CaseRefused, match=r"peak of 0\.\d+ in -ln.*at least 0\.5.*min_delta_log_peak to 0"):
        annotate(nodule, settings=AnnotateCxrSettings(min_delta_log_peak=0.5))
    small = replace(nodule, measures=replace(nodule.measures, volume_mm3=6800.0))
    with pytest.raises(CaseRefused, match=r"6800\.0 mm3 for a diameter of 24\.00 mm; needed 7238\.2 mm3 within 5 %"):
        annotate(small)
    dark = replace(nodule, measures=replace(nodule.measures, delta_hu_ratio=0.79))
    with pytest.raises(CaseRefused, match=r"79 % of the HU asked for; needed at least 80 %"):
        annotate(dark)
    for odd in (small, dark):
        assert annotate(replace(odd, origin="real")).nodule.origin == "real"


def test_wrong_sizes_and_names_are_named():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow)
    small = Pair(pair.twin[:-1], pair.positive)
    with pytest.raises(DrrxError, match=r"cxr twin: found shape \(255, 256\); needed the view's shape"):
        annotate_one(nodule, shadow, pair, small)
    with pytest.raises(DrrxError, match=r"bone path map: found shape \(3, 4\)"):
        annotate_image(("c", "twin", "pa"), [], VIEW, {"bone": np.zeros((3, 4), np.float32)}, SETTINGS, {})
    with pytest.raises(DrrxError, match=r"variant: found 'x1'; needed twin, removed, or v or s"):
        annotate_image(("c", "x1", "pa"), [], VIEW, {}, SETTINGS, {})
    with pytest.raises(DrrxError, match="maps of one window"):
        Shadow(shadow.path_mm, shadow.delta_line_integral[1:])
    with pytest.raises(DrrxError, match="maps of one window"):
        Shadow(shadow.path_mm, shadow.path_mm, delta_log_signal=shadow.path_mm[1:])


def test_record_survives_json():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow)
    facts = {"ct": {"origin_lps_mm": [-100.0, -90.0, -200.0], "spacing_mm": [2.5, 0.5, 0.7]}, "drr": {"noise_seed": 3}}
    finding = Finding(nodule, shadow, pair, pair)
    record = annotate_image(("case", "v1", "pa"), [finding], VIEW, {}, SETTINGS, facts)
    assert (record.image_id, record.pair_id, record.role) == ("case_v1_pa", "case_pa", "positive")
    # x, y, z = 30, 20, -40 mm
    assert record.nodules[0].center_index_zyx == pytest.approx((160 / 2.5, 110 / 0.5, 130 / 0.7))
    assert ImageAnnotation.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(DrrxError, match=r"annotation record, width.*Annotate this image again"):
        ImageAnnotation.from_json({**record.to_json(), "width": "wide"})


def test_shadows_survive_their_arrays():
    one, two = make_shadow(make_nodule()), make_shadow(make_nodule(diameter=10.0))
    two = replace(two, delta_log_signal=two.delta_line_integral / 2)
    found = shadows_from_arrays(shadows_to_arrays([one, two]))
    for shadow, original in zip(found, (one, two), strict=True):
        assert (shadow.row, shadow.column) == (original.row, original.column)
        for key in ("path_mm", "delta_line_integral", "delta_log_signal"):
            np.testing.assert_array_equal(getattr(shadow, key), getattr(original, key))
    assert shadows_from_arrays({}) == ()


def test_contrasts_are_those_of_beer_and_lambert():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    assert annotate(nodule).contrast_total is None
    primary, scatter = np.exp(-2.0), 0.5 * np.exp(-2.0)
    with_nodule = primary * np.exp(-shadow.delta_line_integral.astype(np.float64))
    delta = -np.log((with_nodule + scatter) / (primary + scatter)).astype(np.float32)
    record = annotate_one(nodule, replace(shadow, delta_log_signal=delta), make_pair(shadow), None)
    assert record.contrast_primary == pytest.approx(1 - np.exp(-record.delta_log_peak))
    # A third of the signal is scatter, which the nodule does not stop.
    assert record.contrast_total == pytest.approx(record.contrast_primary * 2 / 3, rel=1e-5)


def test_place_window_is_cut_by_the_border():
    window = np.ones((4, 4), bool)
    assert place_window(window, -2, 6, (8, 8)).sum() == 2 * 2
    assert box_of(place_window(window, -2, 6, (8, 8))) == (6.0, 0.0, 2.0, 2.0)
    assert place_window(window, 20, 0, (8, 8)).sum() == 0
    assert box_of(np.zeros((3, 3), bool)) == (0.0, 0.0, 0.0, 0.0)
    assert encode_mask(np.zeros((3, 4), bool)).size == (3, 4)
