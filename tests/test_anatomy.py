"""Anatomy against a thorax of ellipsoids, whose truth is known, and laws of the shapes it is made of."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.figure import make_anatomy_figure
from drrx.anatomy.morphology import close, dilate, erode, open_
from drrx.anatomy.segment import segment_anatomy
from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.cli.main import main
from drrx.errors import CaseRefused, DrrxError
from drrx.io.nifti import read_volume, write_volume
from drrx.records.anatomy import LEFT_LUNG, LOBES, RIGHT_LUNG, Anatomy, Label
from drrx.volume import Volume
from tests.thorax import dice, make_thorax

SETTINGS = SegmentAnatomySettings(work_spacing_mm=3.0)


@pytest.fixture(scope="module")
def thorax():
    return make_thorax()


@pytest.fixture(scope="module")
def anatomy(thorax):
    return segment_anatomy(thorax.ct, SETTINGS)


def test_labels_lie_on_the_ct_and_lungs_agree_with_the_truth(thorax, anatomy):
    assert anatomy.labels.values.dtype == np.uint8
    np.testing.assert_array_equal(anatomy.labels.world_from_index, thorax.ct.world_from_index)
    assert dice(anatomy.mask(*RIGHT_LUNG), thorax.right) > 0.95
    assert dice(anatomy.mask(*LEFT_LUNG), thorax.left) > 0.95
    litre = thorax.right.sum() * thorax.ct.voxel_volume_mm3 / 1e6
    assert anatomy.qc["right_lung_litre"] == pytest.approx(litre, rel=0.05)


def test_right_is_the_patients_right(thorax, anatomy):
    """The right lung lies at -x in LPS."""
    for labels, sign in ((RIGHT_LUNG, -1), (LEFT_LUNG, 1)):
        x = thorax.ct.to_world(np.argwhere(anatomy.mask(*labels)))[:, 0]
        assert sign * x.mean() > 40


def test_body_is_without_table(thorax, anatomy):
    assert dice(anatomy.body, thorax.body) > 0.98
    y = thorax.ct.to_world(np.argwhere(anatomy.body))[:, 1]
    assert y.max() < 108  # the table begins at 111 mm


def test_nodule_at_the_pleura_and_vessels_are_lung(thorax, anatomy):
    assert (anatomy.lung & thorax.nodule).sum() > 0.85 * thorax.nodule.sum()
    vessels = anatomy.mask(Label.VESSEL_RIGHT, Label.VESSEL_LEFT)
    assert vessels.any()
    assert thorax.ct.values[vessels].min() > -500


def test_airway_bone_and_mediastinum_are_where_they_were_drawn(thorax, anatomy):
    airway, bone, middle = (anatomy.mask(label) for label in (Label.AIRWAY, Label.BONE, Label.MEDIASTINUM))
    assert dice(airway, thorax.trachea) > 0.8
    assert dice(bone, thorax.bone) > 0.85
    assert (middle & thorax.heart).sum() > 0.7 * (thorax.heart & ~thorax.right & ~thorax.left & ~thorax.bone).sum()
    assert not (middle & thorax.bone).any()


def test_lobes_fill_the_lungs_in_order(thorax, anatomy):
    """Upper lobes lie higher, the middle lobe lies in front of the lower one."""
    place = {label: thorax.ct.to_world(np.argwhere(anatomy.mask(label))).mean(axis=0) for label in LOBES}
    assert place[Label.LOBE_RIGHT_UPPER][2] > place[Label.LOBE_RIGHT_MIDDLE][2]
    assert place[Label.LOBE_RIGHT_UPPER][2] > place[Label.LOBE_RIGHT_LOWER][2]
    assert place[Label.LOBE_RIGHT_MIDDLE][1] < place[Label.LOBE_RIGHT_LOWER][1]
    assert place[Label.LOBE_LEFT_UPPER][2] > place[Label.LOBE_LEFT_LOWER][2]


def test_mirrored_patient_gives_mirrored_lungs(thorax, anatomy):
    mirrored = segment_anatomy(thorax.ct.with_values(thorax.ct.values[:, :, ::-1].copy()), SETTINGS)
    np.testing.assert_allclose(mirrored.qc["left_lung_litre"], anatomy.qc["right_lung_litre"], rtol=0.02)
    assert dice(mirrored.lung[:, :, ::-1], anatomy.lung) > 0.98


def test_same_input_same_labels(thorax, anatomy):
    np.testing.assert_array_equal(segment_anatomy(thorax.ct, SETTINGS).labels.values, anatomy.labels.values)


def test_thick_slices_and_finer_pixels_agree(anatomy):
    thick = make_thorax(spacing_mm=(8.0, 1.8, 1.8))
    found = segment_anatomy(thick.ct, SETTINGS)
    assert dice(found.lung, thick.right | thick.left) > 0.93
    assert found.qc["lungs_litre"] == pytest.approx(anatomy.qc["lungs_litre"], rel=0.05)


def test_touching_lungs_are_split(thorax):
    values = thorax.ct.values.copy()
    values[29:42, 32:37, 50:70] = -850  # a bridge in front of the heart
    found = segment_anatomy(thorax.ct.with_values(values), SETTINGS)
    assert dice(found.mask(*RIGHT_LUNG), thorax.right) > 0.9
    assert dice(found.mask(*LEFT_LUNG), thorax.left) > 0.9


def test_gas_under_the_diaphragm_is_no_lung(thorax, anatomy):
    """A stomach bubble that touches the lung through a thin wall stays out of it."""
    x, y, z = thorax.ct.to_world(np.indices(thorax.ct.shape).reshape(3, -1).T).T.reshape(3, *thorax.ct.shape)
    bubble = (((x - 70) / 30) ** 2 + ((y + 10) / 28) ** 2 + ((z + 85) / 26) ** 2 <= 1) & ~thorax.left
    values = np.where(bubble, np.int16(-1000), thorax.ct.values)
    found = segment_anatomy(thorax.ct.with_values(values), SETTINGS)
    assert (found.lung & bubble).sum() < 0.05 * bubble.sum()
    assert dice(found.lung, anatomy.lung) > 0.97


def test_thin_chest_wall_at_the_edge_of_the_field_is_mended(thorax, anatomy):
    """Where the field of view leaves 4 mm of chest wall, opening would break the ring around the lung."""
    values = thorax.ct.values.copy()
    x = thorax.ct.to_world(np.argwhere(np.ones(thorax.ct.shape, bool)))[:, 0].reshape(thorax.ct.shape)
    found = segment_anatomy(thorax.ct.with_values(np.where(np.abs(x) > 131, np.int16(-1000), values)), SETTINGS)
    assert dice(found.lung, anatomy.lung) > 0.97


def test_contrast_medium_is_no_bone():
    thorax = make_thorax()
    values = thorax.ct.values.copy()
    values[thorax.heart & ~thorax.bone] += 300
    found = segment_anatomy(thorax.ct.with_values(values), SETTINGS)
    assert "CONTRAST" in str(found.qc["flags"])
    assert (found.mask(Label.BONE) & thorax.heart & ~thorax.bone).sum() < 0.03 * thorax.heart.sum()
    assert dice(found.mask(Label.BONE), thorax.bone) > 0.8


# ---- refusals and the user's own mask


def test_without_lungs_the_case_is_refused():
    with pytest.raises(CaseRefused, match="aerated lung") as caught:
        segment_anatomy(make_thorax(lungs=False).ct, SETTINGS)
    assert caught.value.code == "NO_LUNGS"
    assert "--mask" in caught.value.hint


def test_one_lung_and_bowel_gas_are_refused(thorax):
    one = thorax.ct.values.copy()
    one[thorax.left] = 40
    with pytest.raises(CaseRefused) as caught:
        segment_anatomy(thorax.ct.with_values(one), SETTINGS)
    assert caught.value.code == "NO_LUNGS"
    gas = thorax.ct.values.copy()
    gas[(thorax.left | thorax.right) & (gas < -500)] = -1000
    with pytest.raises(CaseRefused):
        segment_anatomy(thorax.ct.with_values(gas), SETTINGS)


@pytest.mark.parametrize("value", [-1000, 40])
def test_empty_and_full_volumes_are_refused(value):
    ct = Volume.from_spacing(np.full((40, 60, 60), value, np.int16), (5.0, 5.0, 5.0))
    with pytest.raises(CaseRefused) as caught:
        segment_anatomy(ct, SETTINGS)
    assert caught.value.code == "NO_LUNGS"


def test_own_mask_wins_to_the_voxel(thorax):
    mask = thorax.right | thorax.left
    mask[:, :, :33] = False  # the user leaves the nodule out
    found = segment_anatomy(thorax.ct, SETTINGS, lung_mask=mask)
    np.testing.assert_array_equal(found.lung, mask)
    assert found.qc["lungs_from"] == "own mask"
    assert (found.mask(*RIGHT_LUNG) & thorax.left).sum() == 0
    with pytest.raises(DrrxError, match="needed bool of shape"):
        segment_anatomy(thorax.ct, SETTINGS, lung_mask=mask[1:])
    with pytest.raises(CaseRefused, match="one side"):
        segment_anatomy(thorax.ct, SETTINGS, lung_mask=thorax.left)


def test_cut_lungs_are_flagged(thorax, anatomy):
    assert anatomy.qc["flags"] == ""
    cut = Volume(thorax.ct.values[27:-15].copy(), thorax.ct.world_from_index)
    flags = str(segment_anatomy(cut, replace(SETTINGS, max_lung_cut_mm=200.0)).qc["flags"]).split()
    assert {"LUNG_CUT_TOP", "LUNG_CUT_BOTTOM"} <= set(flags)


# ---- the shapes themselves


def test_morphology_is_in_millimetres_on_any_grid():
    """Dilating a point by r gives the ball of radius r; opening and closing are idempotent."""
    spacing = (4.0, 2.0, 1.0)
    point = np.zeros((11, 21, 41), bool)
    point[5, 10, 20] = True
    at = (np.indices(point.shape) - np.array([5, 10, 20]).reshape(3, 1, 1, 1)) * np.reshape(spacing, (3, 1, 1, 1))
    np.testing.assert_array_equal(dilate(point, 8.0, spacing), np.linalg.norm(at, axis=0) <= 8.0)
    mask = np.random.default_rng(0).random((20, 24, 28)) > 0.6
    mask = dilate(open_(mask, 1.0, (1.0, 1.0, 1.0)), 2.0, (1.0, 1.0, 1.0))
    once = open_(mask, 2.0, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(open_(once, 2.0, (1.0, 1.0, 1.0)), once)
    closed = close(mask, 2.0, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(close(closed, 2.0, (1.0, 1.0, 1.0)), closed)
    assert (mask <= closed).all()
    assert (erode(mask, 1.0, spacing) <= mask).all()


def test_coarse_grid_averages_blocks_and_comes_back():
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    coarse = Coarse.from_volume(Volume.from_spacing(values, (2.0, 1.0, 1.0)), 2.0)
    assert coarse.factors == (1, 2, 2)
    assert coarse.hu.shape == (4, 3, 3)
    assert coarse.hu[1, 0, 1] == values[1, :2, 2:4].mean()
    assert coarse.spacing_mm == (2.0, 2.0, 2.0)
    ball = Volume.from_spacing(np.zeros((50, 60, 70), np.int16), (2.0, 0.7, 0.7))
    center = ball.center_world_mm
    world = ball.to_world(np.indices(ball.shape).reshape(3, -1).T)
    inside = (np.linalg.norm((world - center) / [18, 16, 40], axis=1) < 1).reshape(ball.shape)
    coarse = Coarse.from_volume(ball, 2.0)
    back = coarse.grow(coarse.shrink(inside))
    assert dice(back, inside) > 0.97
    np.testing.assert_allclose(np.argwhere(back).mean(axis=0), np.argwhere(inside).mean(axis=0), atol=0.1)
    assert not coarse.grow(np.zeros(coarse.hu.shape, bool)).any()


# ---- figure and command


def test_figure_shows_the_patients_right_on_the_left(thorax, anatomy):
    picture = make_anatomy_figure(thorax.ct, anatomy)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    width = round(thorax.ct.shape[2] * thorax.ct.spacing_mm[2] / 1.2)
    coronal = picture[: round(320 / 1.2), :width].astype(int)
    blue, green = coronal[..., 2] - coronal[..., 1], coronal[..., 1] - coronal[..., 2]
    assert np.argwhere(blue > 40)[:, 1].mean() < width / 2 < np.argwhere(green > 40)[:, 1].mean()
    other = Anatomy(Volume(anatomy.labels.values[1:], anatomy.labels.world_from_index))
    with pytest.raises(DrrxError, match="same grid"):
        make_anatomy_figure(thorax.ct, other)


def test_command_writes_labels_figure_and_numbers(tmp_path, thorax, anatomy, capsys):
    write_volume(tmp_path / "ct.nii.gz", thorax.ct)
    out = {name: str(tmp_path / name) for name in ("labels.nii.gz", "qc.png", "qc.json", "mask.nii.gz")}
    arguments = ["segment-anatomy", str(tmp_path / "ct.nii.gz"), "--output", out["labels.nii.gz"]]
    extra = ["--figure", out["qc.png"], "--qc", out["qc.json"], "--work-spacing-mm", "3"]
    assert main([*arguments, *extra]) == 0
    assert "right lung" in capsys.readouterr().out
    np.testing.assert_array_equal(read_volume(tmp_path / "labels.nii.gz").values, anatomy.labels.values)
    assert json.loads((tmp_path / "qc.json").read_text())["lungs_from"] == "thresholds"
    assert Image.open(out["qc.png"]).mode == "RGB"
    mask = thorax.right | thorax.left
    write_volume(tmp_path / "mask.nii.gz", thorax.ct.with_values(mask.astype(np.uint8)))
    assert main([*arguments, "--mask", out["mask.nii.gz"]]) == 0
    labels = Anatomy(read_volume(tmp_path / "labels.nii.gz"))
    np.testing.assert_array_equal(labels.lung, mask)


def crop(ct, slices):
    start = ct.to_world(np.array([slices.start or 0, 0, 0]))
    return Volume.from_spacing(ct.values[slices].copy(), ct.spacing_mm, tuple(start))


@pytest.mark.parametrize(("end", "cut_mm"), [("top", 20), ("bottom", 25)])
def test_lungs_that_are_cut_off_are_refused_with_how_much_is_missing(thorax, end, cut_mm):
    inside = np.flatnonzero((thorax.right | thorax.left).any(axis=(1, 2)))
    steps = round(cut_mm / thorax.ct.spacing_mm[0])
    cut = crop(thorax.ct, slice(inside[0] + steps, None) if end == "bottom" else slice(0, inside[-1] + 1 - steps))
    with pytest.raises(CaseRefused, match=f"cm2 in the {end} slice") as caught:
        segment_anatomy(cut, SETTINGS)
    assert caught.value.code == "LUNG_CUT"
    missing_mm = float(re.search(r"about ([\d.]+) mm", caught.value.found)[1])
    # The base of these lungs is no wedge that comes to nothing: there only the order of size is right.
    assert missing_mm == pytest.approx(cut_mm, rel=0.5) if end == "top" else missing_mm > 10
    kept = segment_anatomy(cut, replace(SETTINGS, max_lung_cut_mm=300.0))
    assert f"LUNG_CUT_{end.upper()}" in str(kept.qc["flags"]).split()


def test_a_heart_on_the_right_is_flagged(thorax, anatomy):
    assert "SIDES_ODD" not in anatomy.qc["flags"]
    flipped = segment_anatomy(thorax.ct.with_values(thorax.ct.values[:, :, ::-1].copy()), SETTINGS)
    assert "SIDES_ODD" in flipped.qc["flags"]
    assert flipped.qc["heart_left_share"] == pytest.approx(1 - anatomy.qc["heart_left_share"], abs=0.05)
