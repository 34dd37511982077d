"""Real nodules of a CT: read from masks and tables, measured, and taken out."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from drrx.config import load_config, stage_settings
from drrx.errors import CaseRefused
from drrx.io.annotations import read_annotations
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, sha256_file
from drrx.io.nifti import read_volume, write_volume
from drrx.io.settings import ReadCtSettings
from drrx.nodule.kind import find_kind
from drrx.nodule.known import find_attachment, find_known_nodules
from drrx.nodule.labels import IS_LUNG
from drrx.nodule.removal import remove_nodule
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.window import make_view
from drrx.radiograph.attenuation import BASIS_BANDS_HU
from drrx.records.anatomy import Label
from drrx.records.case import CaseRecord
from drrx.records.nodule import Nodule
from drrx.stages import read_ct
from drrx.stages.batch import CaseJob, run_batch
from drrx.stages.compose_drr import project_patches, take_lengths
from drrx.stages.layout import CaseFolder
from drrx.stages.read_ct import check_annotated, read_known
from tests.thorax import make_labels, make_thorax

CENTER_MM, RADIUS_MM = (80.0, 25.0, 40.0), 9.0
SETTINGS = ReadCtSettings()


@pytest.fixture(scope="module")
def case():
    """Thorax with its pleural nodule (label 1) and a ball in the left lung (label 2), and the true anatomy."""
    thorax = make_thorax((2.5, 1.5, 1.5))
    ct = thorax.ct
    away = np.linalg.norm(ct.to_world(np.moveaxis(np.indices(ct.shape), 0, -1)) - CENTER_MM, axis=-1)
    ball = away <= RADIUS_MM
    values = ct.values.copy()
    values[ball] = 30 + np.random.default_rng(1).normal(0, 15, int(ball.sum())).astype(np.int16)
    thorax.ct = ct.with_values(values)
    known = np.where(ball, 2, np.where(thorax.nodule, 1, 0)).astype(np.uint8)
    return thorax.ct, ct.with_values(known), make_labels(thorax)


@pytest.fixture(scope="module")
def nodules(case):
    return find_known_nodules(*case)


# Reading


def write_mask(path, volume):
    """Write labels with the voxel order of a scanner that counts from the head and from the left."""
    turned = volume.values[::-1, :, ::-1]
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(np.array([volume.shape[0] - 1, 0, volume.shape[2] - 1]))
    affine[:, [0, 2]] *= -1
    xyz_from_index = affine[:, [2, 1, 0, 3]]
    nib.save(nib.Nifti1Image(turned.T.astype(np.int16) * 7, np.diag([-1, -1, 1, 1]) @ xyz_from_index), path)


def test_a_mask_of_another_orientation_comes_back_on_the_grid_with_its_labels_numbered(case, tmp_path):
    ct, known, _ = case
    write_mask(tmp_path / "mask.nii.gz", known)
    np.testing.assert_array_equal(read_annotations(tmp_path / "mask.nii.gz", ct, SETTINGS), known.values)


def test_a_mask_that_is_not_of_this_ct_is_refused(case, tmp_path):
    ct, known, _ = case
    moved = known.world_from_index.copy()
    moved[:3, 3] += (0, 0, 5)
    write_volume(tmp_path / "moved.nii.gz", replace(known, world_from_index=moved))
    with pytest.raises(CaseRefused, match=r"a mask of the CT's size that lies 5.0 mm beside it") as error:
        read_annotations(tmp_path / "moved.nii.gz", ct, SETTINGS)
    assert error.value.code == "ANNOTATIONS_MISMATCH"
    moved[:3, 3] += (0, 0, 395)
    part = replace(known, values=known.values[:-3], world_from_index=moved)
    write_volume(tmp_path / "far.nii.gz", part)
    with pytest.raises(CaseRefused, match="nodule 1 with 0 % of its volume in the CT"):
        read_annotations(tmp_path / "far.nii.gz", ct, SETTINGS)


@pytest.mark.parametrize(
    ("values", "found"), [(np.zeros((5, 5, 5)), "0 labels"), (np.full((5, 5, 5), 0.5), "the value 0.5")]
)
def test_a_mask_without_whole_labels_is_refused(case, tmp_path, values, found):
    write_volume(tmp_path / "m.nii.gz", replace(case[0], values=values.astype(np.float32)))
    with pytest.raises(CaseRefused, match=found) as error:
        read_annotations(tmp_path / "m.nii.gz", case[0], SETTINGS)
    assert error.value.code == "BAD_ANNOTATIONS"


ROW = "{},80,25,40,18\n"


def write_table(tmp_path, text, name="nodules.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_luna_table_gives_the_ball_of_the_right_series(case, tmp_path):
    ct, known, _ = case
    text = "SeriesUID,CoordX,coordy,COORDZ,Diameter_MM\n" + ROW.format("1.2") + "1.3,0,0,0,9\n"
    labels = read_annotations(write_table(tmp_path, text), ct, SETTINGS, "1.2")
    assert labels.max() == 1
    truth = known.values == 2
    assert 2 * (truth & (labels == 1)).sum() / (truth.sum() + (labels == 1).sum()) > 0.99
    assert not read_annotations(tmp_path / "nodules.csv", ct, SETTINGS, "1.4").any()
    # Without a column of series all rows are of this CT.
    alone = write_table(tmp_path, "coordX;coordY;coordZ;diameter_mm\n80;25;40;18\n", "alone.csv")
    np.testing.assert_array_equal(read_annotations(alone, ct, SETTINGS), labels)


def test_a_table_leaves_out_the_lung_inside_too_large_a_ball(case, tmp_path):
    ct, known, _ = case
    labels = read_annotations(write_table(tmp_path, "coordX,coordY,coordZ,diameter_mm\n80,25,40,24\n"), ct, SETTINGS)
    lung = IS_LUNG[case[2].labels.values] & (known.values == 0) & (ct.values < -600)
    assert (labels > 0)[known.values == 2].all()
    assert not (labels > 0)[lung].any()


HEAD = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


@pytest.mark.parametrize(
    ("text", "code", "found"),
    [
        ("a,b\n1,2\n", "BAD_ANNOTATIONS", "2 columns; needed also coordx"),
        ("", "BAD_ANNOTATIONS", "no columns"),
        (HEAD + "1,80,25,40\n", "BAD_ANNOTATIONS", "line 2 with another number of values"),
        (HEAD + "1,80,25,40,0\n", "BAD_ANNOTATIONS", "line 2: 80, 25, 40, 0; needed a centre and a diameter above 0"),
        (HEAD + "1,80,25,x,9\n", "BAD_ANNOTATIONS", "line 2: 80, 25, no number, 9"),
        (HEAD + "1,80,25,nan,9\n", "BAD_ANNOTATIONS", "line 2: 80, 25, no number, 9"),
        (HEAD + "1,80,25,900,9\n", "ANNOTATIONS_MISMATCH", r"\(80.0, 25.0, 900.0\) mm, outside the CT"),
        (HEAD + "1,80,25,40,9\n2,0,0,0,9\n", "BAD_ANNOTATIONS", "2 series.*column series_uid of the cohort table"),
    ],
)
def test_faults_of_a_table_are_told(case, tmp_path, text, code, found):
    with pytest.raises(CaseRefused, match=found) as error:
        read_annotations(write_table(tmp_path, text), case[0], SETTINGS)
    assert error.value.code == code


@pytest.mark.parametrize("name", ["absent.nii.gz", "absent.csv", "absent.txt"])
def test_annotations_that_cannot_be_read_are_refused(case, tmp_path, name):
    with pytest.raises(CaseRefused, match=f"annotations {name}") as error:
        read_annotations(tmp_path / name, case[0], SETTINGS)
    assert error.value.code == "BAD_ANNOTATIONS"


# What the cohort table says


def make_row(**cells):
    return CohortRow(case="c", path="ct.nii.gz", cohort="x", **cells)


def test_nodules_that_nobody_marked_are_refused_or_flagged(case):
    row, record = make_row(has_nodules="yes"), CaseRecord("c")
    check_annotated(row, SETTINGS)
    known, told = read_known(row, case[0], record, SETTINGS)
    assert known is None
    assert told.flags == ("UNANNOTATED_NODULES",)
    assert told.source == {"has_nodules": "yes", "num_known_nodules": 0}
    with pytest.raises(CaseRefused, match=r"no annotations.*false label.*read_ct.unannotated_nodules to keep") as error:
        check_annotated(row, ReadCtSettings(unannotated_nodules="refuse"))
    assert error.value.code == "UNANNOTATED_NODULES"
    for fine in (make_row(), make_row(has_nodules="no"), make_row(has_nodules="yes", annotations="a.csv")):
        check_annotated(fine, ReadCtSettings(unannotated_nodules="refuse"))


@pytest.mark.parametrize(("cells", "told"), [({}, "unknown"), ({"has_nodules": "no"}, "no")])
def test_the_record_says_what_is_known_without_annotations(case, cells, told):
    known, record = read_known(make_row(**cells), case[0], CaseRecord("c"), SETTINGS)
    assert known is None
    assert (record.source["has_nodules"], record.flags) == (told, ())


def test_annotations_and_the_column_must_agree(case, tmp_path):
    table = str(write_table(tmp_path, HEAD + ROW.format("1.2")))
    known, record = read_known(make_row(annotations=table), case[0], CaseRecord("c"), SETTINGS)
    assert (known.values.max(), record.source["has_nodules"], record.source["num_known_nodules"]) == (1, "yes", 1)
    none = {"annotations": table, "series_uid": "9.9"}
    assert read_known(make_row(**none, has_nodules="no"), case[0], CaseRecord("c"), SETTINGS)[0] is None
    for cells, found in (
        ({"annotations": table, "has_nodules": "no"}, "1 annotated nodules, has_nodules = no"),
        (none, "0 annotated nodules, has_nodules = not told"),
    ):
        with pytest.raises(CaseRefused, match=found) as error:
            read_known(make_row(**cells), case[0], CaseRecord("c"), SETTINGS)
        assert error.value.code == "BAD_ANNOTATIONS"


def run_read_ct(folder, **cells):
    row = CohortRow(case="c", path=str(folder / "ct.nii.gz"), cohort="x", **cells)
    settings = json.loads(stage_settings(load_config({"read_ct": {"unannotated_nodules": "refuse"}}), "read_ct"))
    job = CaseJob(row, CaseFolder(folder, "c"), settings, seed=0)
    return run_batch(read_ct.STAGE, [job], "code")["c"], job.folder


def test_the_stage_leaves_the_known_nodules_beside_the_ct_and_reads_them_again_when_they_change(case, tmp_path):
    ct, known, _ = case
    write_volume(tmp_path / "ct.nii.gz", ct)
    write_volume(tmp_path / "known.nii.gz", known)
    outcome, folder = run_read_ct(tmp_path, annotations=str(tmp_path / "known.nii.gz"))
    assert outcome["products"].keys() == {"ct.nii.gz", "known_nodules.nii.gz", "case.json"}
    np.testing.assert_array_equal(read_volume(folder.known_nodules).values, known.values)
    source = read_json(folder.case_record)["source"]
    assert (source["has_nodules"], source["num_known_nodules"]) == ("yes", 2)
    assert source["annotations_sha256"] == sha256_file(tmp_path / "known.nii.gz")
    write_volume(tmp_path / "known.nii.gz", known.with_values(np.minimum(known.values, 1)))
    again, _ = run_read_ct(tmp_path, annotations=str(tmp_path / "known.nii.gz"))
    assert again["fingerprint"] != outcome["fingerprint"]
    assert read_json(folder.case_record)["source"]["num_known_nodules"] == 1


def test_the_stage_refuses_a_case_whose_nodules_nobody_marked_before_it_reads_the_ct(tmp_path):
    outcome, folder = run_read_ct(tmp_path, has_nodules="yes")
    assert (outcome["status"], outcome["code"]) == ("refused", "UNANNOTATED_NODULES")
    assert read_json(folder.case_record)["hint"] == outcome["hint"]


# Measuring


def test_the_record_of_a_real_nodule_is_measured(nodules, case):
    pleural, ball = (found.nodule for found in nodules)
    assert [(n.nodule_id, n.origin, n.shape, n.transplant, n.margin) for n in (pleural, ball)] == [
        ("r1", "real", None, None, "unknown"), ("r2", "real", None, None, "unknown")
    ]  # fmt: skip
    np.testing.assert_allclose(ball.center_world_mm, CENTER_MM, atol=0.3)
    assert ball.diameter_mm == pytest.approx(2 * RADIUS_MM, rel=0.02)
    np.testing.assert_allclose(ball.measures.axes_mm, 2 * RADIUS_MM, rtol=0.06)
    assert (ball.kind, ball.lobe_approx) == ("solid", "lobe_left_upper")
    assert ball.hu_body == pytest.approx(30, abs=3)
    assert ball.measures.hu_lung_local == pytest.approx(-850, abs=3)
    assert (pleural.attachment, pleural.lobe_approx) == ("juxtapleural", "lobe_right_upper")
    assert Nodule.from_json(ball.to_json()) == ball


def test_the_occupancy_keeps_the_volume_of_the_mask(nodules, case):
    _, known, _ = case
    for number, found in enumerate(nodules, 1):
        volume = (known.values == number).sum() * known.voxel_volume_mm3
        assert found.patch.volume_mm3 == pytest.approx(volume, rel=0.005)


@pytest.mark.parametrize(
    ("hu", "kind"),
    [
        ([40] * 100, "solid"), ([40] * 70 + [-600] * 30, "solid"), ([40] * 69 + [-600] * 31, "part_solid"),
        ([-600] * 96 + [40] * 4, "ground_glass"), ([40] * 90 + [300] * 10, "calcified"),
        ([40] * 91 + [300] * 9, "solid"),
    ],
)  # fmt: skip
def test_kinds_follow_the_stated_limits(hu, kind):
    assert find_kind(np.array(hu)) == kind


@pytest.mark.parametrize(
    ("label", "columns", "attachment"),
    [
        (Label.BODY, slice(26, 40), "juxtapleural"), (Label.BODY, slice(29, 40), "isolated"),
        (Label.VESSEL_LEFT, slice(26, 32), "juxtavascular"), (Label.VESSEL_LEFT, slice(26, 28), "isolated"),
        (Label.VESSEL_LEFT, slice(29, 36), "isolated"), (Label.AIRWAY, slice(26, 40), "isolated"),
    ],
)  # fmt: skip
def test_attachments_follow_the_stated_distances(label, columns, attachment):
    labels = np.full((40, 40, 40), Label.LOBE_LEFT_UPPER, np.uint8)
    mask = np.zeros(labels.shape, bool)
    mask[15:26, 15:26, 15:26] = True
    labels[mask], labels[20, 20, columns] = Label.VESSEL_LEFT, label
    assert find_attachment(mask, labels, (1.0, 1.0, 1.0)) == attachment


@pytest.mark.parametrize(
    ("place", "found"), [((64, 1, 1), "a nodule outside the body"), ((2, 86, 120), "a nodule without lung around it")]
)
def test_a_nodule_that_is_no_lung_nodule_is_refused(case, place, found):
    ct, _, anatomy = case
    known = np.zeros(ct.shape, np.uint8)
    known[tuple(slice(a - 1, a + 2) for a in place)] = 1
    with pytest.raises(CaseRefused, match=found) as error:
        find_known_nodules(ct, ct.with_values(known), anatomy)
    assert error.value.code == "ANNOTATIONS_MISMATCH"


# Taking out


def taken_out(case, number):
    ct, known, anatomy = case
    removal = remove_nodule(ct, known.values, number, anatomy)
    low = np.rint(ct.to_index(removal.mask.world_from_index[:3, 3])).astype(int)
    window = tuple(slice(a, a + n) for a, n in zip(low, removal.mask.shape, strict=True))
    values = ct.values.astype(np.float32)
    values[window] += removal.added_hu.values
    return ct.with_values(values), removal


def test_what_is_left_is_lung_like_the_lung_around(case):
    ct, known, anatomy = case
    left, removal = taken_out(case, 2)
    inside = left.values[known.values == 2]
    around = ct.values[IS_LUNG[anatomy.labels.values] & (known.values == 0)].astype(float)
    assert removal.donor_shift_mm is not None
    assert inside.mean() == pytest.approx(around.mean(), abs=25), "vessels of the donor included"
    assert np.median(inside) == pytest.approx(-850, abs=10)
    airy = inside[inside < -700]
    assert airy.std() == pytest.approx(15, rel=0.25), "the noise of the scan goes on"


def test_ground_glass_does_not_stain_the_lung_in_its_place(case):
    ct, known, anatomy = case
    ball = known.values == 2
    values = np.where(ball, ct.values - 30 - 620, ct.values).astype(np.int16)
    labels = np.where(ball, Label.LOBE_LEFT_UPPER, anatomy.labels.values).astype(np.uint8)
    glass = ct.with_values(values), known, replace(anatomy, labels=ct.with_values(labels))
    assert find_known_nodules(*glass)[1].nodule.kind == "ground_glass"
    assert np.median(taken_out(glass, 2)[0].values[ball]) == pytest.approx(-850, abs=10)


def test_two_nodules_side_by_side_are_taken_out_once_each(case):
    ct, known, anatomy = case
    z, _, _ = np.nonzero(known.values == 2)
    halves = np.where(known.values == 2, 1, 0) + ((known.values == 2) & (np.indices(ct.shape)[0] > z.mean()))
    both = ct, ct.with_values(halves.astype(np.uint8)), anatomy
    first, second = (taken_out(both, number)[0].values != ct.values for number in (1, 2))
    assert not (first & second).any()
    assert (first | second)[halves > 0].mean() > 0.98


def test_nothing_changes_beyond_the_rim_nor_in_the_wall_nor_in_the_other_nodule(case):
    ct, known, anatomy = case
    for number in (1, 2):
        left, _ = taken_out(case, number)
        changed = left.values != ct.values
        mine = known.values == number
        assert changed[mine].mean() > 0.98
        reach = np.indices(mine.shape)[:, mine]
        low, high = reach.min(axis=1) - 3, reach.max(axis=1) + 4
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        assert changed.sum() == changed[box].sum()
        assert not changed[~IS_LUNG[anatomy.labels.values] & ~mine].any()
        assert not changed[(known.values > 0) & ~mine].any()


def test_the_ct_without_nodules_projects_as_the_ct_less_their_patches(case, nodules):
    ct = case[0]
    view = make_view(ct, ProjectCtSettings(size_px=256))
    left = taken_out(case, 1)[0].values + taken_out(case, 2)[0].values - ct.values
    with_both, without = (
        project([(Integrand(volume, BASIS_BANDS_HU), view)])[0] / 1000 for volume in (ct, ct.with_values(left))
    )
    lengths = project_patches([found.patch for found in nodules], view)
    water_mm, bone_mm = take_lengths((with_both[0], with_both[1]), lengths)
    shadow = with_both.sum(axis=0) - without.sum(axis=0)
    assert shadow.max() > 12
    np.testing.assert_allclose(water_mm, without[0], atol=1e-4 * shadow.max())
    np.testing.assert_allclose(bone_mm, without[1], atol=1e-4 * shadow.max())
