"""Boxes, masks, sizes and signal of a nodule whose shadow is known in closed form."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from drrx.annotate.annotate import Shadow, annotate_image, annotate_nodule
from drrx.annotate.mask import box_of, decode_mask, encode_mask, place_window
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.signal import Pair, find_neighbourhood, matched_filter_d_prime
from drrx.errors import CaseRefused, DrrxError
from drrx.geometry import make_standard_view
from drrx.records.annotation import ImageAnnotation
from drrx.records.nodule import Nodule, NoduleMeasures, NoduleShape

SETTINGS = AnnotateCxrSettings()
VIEW = make_standard_view(np.zeros(3), size_px=256)
PITCH = 430 / 256
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def make_nodule(center=(30.0, 20.0, -40.0), diameter=24.0, kind="solid"):
    measures = NoduleMeasures(
        centroid_world_mm=center, volume_mm3=7000.0, axes_mm=(24.0, 24.0, 24.0), axes_world=IDENTITY, long_axis_axial_mm=24.0,
        short_axis_axial_mm=24.0, solid_core_diameter_mm=24.0, hu_lung_local=-860.0, hu_mean_inserted=0.0,
        delta_hu_ratio=1.0, peak_log_signal=0.4, pleura_distance_mm=20.0, airway_fraction=0.0, vessel_fraction=0.0,
        outside_lung_fraction=0.0, zone_fractions={"free": 1.0},
    )  # fmt: skip
    shape = NoduleShape(diameter / 2, (1.0, 1.0, 1.0), IDENTITY, (), 0.0)
    return Nodule(
        nodule_id="n1", origin="simulated", seed=1, preset="cxr", kind=kind, margin="smooth", attachment="isolated",
        center_world_mm=center, diameter_mm=diameter, shape=shape, transplant=None, hu_body=20.0, hu_inclusion=None, hu_halo=None, hu_cavity=None,
        psf_fwhm_mm=(0.0, 0.0, 0.0), grid_spacing_mm=0.35, lobe_approx="lobe_left_upper", zone="free", num_attempts=1,
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


def make_pair(shadow, texture=0.02, seed=0, gain=0.3):
    rng = np.random.default_rng(seed)
    twin = (0.4 + texture * rng.normal(size=VIEW.shape)).astype(np.float32)
    positive = twin.copy()
    h, w = shadow.path_mm.shape
    positive[shadow.row : shadow.row + h, shadow.column : shadow.column + w] += gain * shadow.delta_line_integral
    return Pair(twin, positive)


def annotate(nodule=None, texture=0.02, **more):
    nodule = nodule or make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow, texture)
    return annotate_nodule(nodule, shadow, VIEW, pair, more.pop("cxr", pair), more.pop("maps", {}), SETTINGS)


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


def test_mask_is_the_visual_box_and_survives_its_code():
    record = annotate()
    mask = decode_mask(record.mask)
    assert mask.shape == VIEW.shape
    assert mask.sum() == record.area_px
    assert box_of(mask) == record.bbox_visual
    code = {"size": list(record.mask.size), "counts": record.mask.counts}
    assert coco_mask.area(code) == record.area_px
    np.testing.assert_allclose(coco_mask.toBbox(code), record.bbox_visual)


def test_window_and_full_map_give_the_same_record():
    nodule = make_nodule()
    part, whole = make_shadow(nodule), make_shadow(nodule, window=False)
    pair = make_pair(part)
    records = [annotate_nodule(nodule, s, VIEW, pair, pair, {}, SETTINGS).to_json() for s in (part, whole)]
    for key, value in records[0].items():
        if key not in ("mask", "kind", "margin", "attachment", "nodule_id", "lobe_approx"):
            flat = [np.hstack(list(r[key].values()) if isinstance(value, dict) else [r[key]]) for r in records]
            np.testing.assert_allclose(*flat, rtol=1e-4, atol=1e-4)
    assert records[0]["mask"] == records[1]["mask"]


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
    record = annotate_image(("c", "v1", "pa"), [nodule], [shadow], VIEW, drr, cxr, {}, SETTINGS)
    assert record.nodules[0].contrast_transfer_ratio == pytest.approx(0.5, rel=1e-3)
    assert record.leakage == pytest.approx(0, abs=1e-3)
    changed = cxr.positive.copy()
    changed[:20, :20] += 0.5
    worse = annotate_image(("c", "v1", "pa"), [nodule], [shadow], VIEW, drr, Pair(cxr.twin, changed), {}, SETTINGS)
    assert worse.leakage > 10
    assert annotate_image(("c", "twin", "pa"), [], [], VIEW, drr, cxr, {}, SETTINGS).leakage is None


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


def test_nodule_at_the_border_is_flagged_and_outside_refused():
    assert not annotate().truncated
    edge = make_nodule((182.0, 0.0, 0.0))
    shadow = make_shadow(edge, window=False)
    pair = make_pair(shadow)
    assert annotate_nodule(edge, shadow, VIEW, pair, None, {}, SETTINGS).truncated
    part = make_shadow(make_nodule())
    outside = Shadow(part.path_mm, part.delta_line_integral, 1000, 1000)
    with pytest.raises(CaseRefused, match=r"no pixel of the nodule at .* mm on the image.*larger detector") as error:
        annotate_nodule(make_nodule(), outside, VIEW, pair, None, {}, SETTINGS)
    assert error.value.code == "NODULE_OUTSIDE_VIEW"


def test_wrong_sizes_and_counts_are_named():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow)
    small = Pair(pair.twin[:-1], pair.positive)
    with pytest.raises(DrrxError, match=r"cxr twin: found shape \(255, 256\); needed the view's shape"):
        annotate_nodule(nodule, shadow, VIEW, pair, small, {}, SETTINGS)
    with pytest.raises(DrrxError, match="one path map per nodule"):
        annotate_image(("c", "v1", "pa"), [nodule], [], VIEW, pair, pair, {}, SETTINGS)
    with pytest.raises(DrrxError, match="two maps of one window"):
        Shadow(shadow.path_mm, shadow.delta_line_integral[1:])


def test_record_survives_json():
    nodule = make_nodule()
    shadow = make_shadow(nodule)
    pair = make_pair(shadow)
    record = annotate_image(("case", "v1", "pa"), [nodule], [shadow], VIEW, pair, pair, {}, SETTINGS)
    assert record.image_id == "case_v1_pa"
    assert ImageAnnotation.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(DrrxError, match=r"annotation record, width.*Annotate this image again"):
        ImageAnnotation.from_json({**record.to_json(), "width": "wide"})


def test_place_window_is_cut_by_the_border():
    window = np.ones((4, 4), bool)
    assert place_window(window, -2, 6, (8, 8)).sum() == 2 * 2
    assert box_of(place_window(window, -2, 6, (8, 8))) == (6.0, 0.0, 2.0, 2.0)
    assert place_window(window, 20, 0, (8, 8)).sum() == 0
    assert box_of(np.zeros((3, 3), bool)) == (0.0, 0.0, 0.0, 0.0)
    assert encode_mask(np.zeros((3, 4), bool)).size == (3, 4)
