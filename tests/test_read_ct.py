"""Reading CTs: one world for every format, repairs that say what they did, refusals with code and hint."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1, JPEGLSLossless, RLELossless
from scipy.spatial.transform import Rotation

from drrx.cli import read_ct as command
from drrx.cli.main import main
from drrx.errors import CaseRefused
from drrx.io.ct import make_case_id, read_ct
from drrx.io.dicom_child import DicomChild, NoAnswer, get_child
from drrx.io.mask import read_mask
from drrx.io.nifti import ras_from_ijk, read_volume, write_volume
from drrx.io.settings import ReadCtSettings
from drrx.records.case import CaseRecord
from drrx.volume import Volume
from tests.dicom_files import make_deflated_bomb, make_slices, write_enhanced, write_slices

SMALL = ReadCtSettings(min_num_slices=5, min_length_mm=0, max_gap_mm=6, max_slice_spacing_mm=10)


@pytest.fixture
def ct():
    """Small CT: a body ellipse with two lungs in air; every corner has another value, so flips show."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 22, 26)), indexing="ij")
    values = np.where((x / 0.9) ** 2 + (y / 0.8) ** 2 < 1, 40.0, -1000.0)
    values[((np.abs(x) - 0.45) / 0.3) ** 2 + (y / 0.5) ** 2 + (z / 0.9) ** 2 < 1] = -850
    values += 30 * x + 20 * y + 10 * z + np.random.default_rng(1).normal(0, 5, values.shape)
    values = np.rint(values)
    values[values == -1024] = -1023  # a value that tests use as padding
    return Volume.from_spacing(values.astype(np.int16), (3.0, 1.5, 1.25), (-15.0, -20.0, -400.0))


def refused(path, settings=SMALL, **kwargs):
    with pytest.raises(CaseRefused) as caught:
        read_ct(path, settings, **kwargs)
    record = CaseRecord.from_refusal(caught.value, case="a")
    assert record.code == caught.value.code
    assert len(record.hint) > 10
    return caught.value


def assert_same(volume, expected, atol=1e-4):
    np.testing.assert_array_equal(volume.values, expected.values)
    np.testing.assert_allclose(volume.world_from_index, expected.world_from_index, atol=atol)


def dicom(tmp_path, ct, name="series", **tags):
    return write_slices(tmp_path / name, make_slices(ct.values, ct.world_from_index, **tags))


# ---- one world for every format and orientation


@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_every_orientation_gives_the_same_canonical_volume(tmp_path, ct, flips, order):
    values, affine = ct.values, ct.world_from_index.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
        affine[:3, axis] *= -1
        values = np.flip(values, axis)
    turned = Volume(values.transpose(order), affine[:, [*order, 3]])
    nib.save(nib.Nifti1Image(turned.values.T, ras_from_ijk(turned)), tmp_path / "ct.nii.gz")
    volume, record = read_ct(tmp_path / "ct.nii.gz", SMALL)
    assert_same(volume, ct)
    assert (record.status, record.geometry["shape"]) == ("accepted", list(ct.shape))


@pytest.mark.parametrize("name", ["a.mha", "b.mhd", "c.nrrd", "d.nii", "e.nii.gz"])
@pytest.mark.parametrize("compress", [False, True])
def test_formats_agree_with_what_simpleitk_wrote(tmp_path, ct, name, compress):
    image = sitk.GetImageFromArray(ct.values)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin([float(v) for v in ct.world_from_index[:3, 3]])
    flipped = sitk.Flip(image, [True, False, True])  # also changes direction and origin
    sitk.WriteImage(flipped, str(tmp_path / name), compress)
    volume, record = read_ct(tmp_path / name, SMALL)
    assert_same(volume, ct)
    assert record.source["sha256"]


def test_permuted_metaimage_and_nrrd_directions(tmp_path, ct):
    image = sitk.GetImageFromArray(ct.values)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin([float(v) for v in ct.world_from_index[:3, 3]])
    turned = sitk.PermuteAxes(image, [2, 0, 1])
    for name in ("a.mha", "a.nrrd"):
        sitk.WriteImage(turned, str(tmp_path / name))
        assert_same(read_ct(tmp_path / name, SMALL)[0], ct)


@pytest.mark.parametrize("names", ["forward", "reversed", "shuffled"])
def test_dicom_order_comes_from_positions(tmp_path, ct, names):
    order = {"forward": range(20), "reversed": range(19, -1, -1), "shuffled": np.random.default_rng(3).permutation(20)}
    slices = make_slices(ct.values, ct.world_from_index)
    write_slices(tmp_path / "s", slices, [f"{k:03d}.dcm" for k in order[names]])
    (tmp_path / "s" / "Thumbs.db").write_bytes(b"junk")
    volume, record = read_ct(tmp_path / "s", SMALL)
    assert_same(volume, ct)
    assert (record.status, record.source["num_files"], record.source["kernel"]) == ("accepted", 20, "STANDARD")
    again, same = read_ct(tmp_path / "s" / "004.dcm", SMALL)  # one file stands for its series
    assert_same(again, ct)
    assert same.source == record.source


def test_dicom_agrees_with_simpleitk(tmp_path, ct):
    folder = dicom(tmp_path, ct, slope=2, intercept=-1000)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(files)
    volume, _ = read_ct(folder, SMALL)
    np.testing.assert_array_equal(volume.values, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.spacing_mm[::-1], image.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(volume.world_from_index[:3, 3], image.GetOrigin(), atol=1e-4)


def test_feet_first_and_coronal_slices_come_to_the_same_frame(tmp_path, ct):
    turned = Volume(ct.values.transpose(1, 0, 2)[:, ::-1], ct.world_from_index[:, [1, 0, 2, 3]].copy())
    affine = turned.world_from_index
    affine[:3, 3] += affine[:3, 1] * (turned.shape[1] - 1)
    affine[:3, 1] *= -1
    volume, record = read_ct(dicom(tmp_path, turned, PatientPosition="FFS"), SMALL)
    assert_same(volume, ct)
    assert record.status == "accepted"


@pytest.mark.parametrize("position", ["HFP", "FFP", "HFDR", "FFDL"])
def test_who_does_not_lie_on_the_back_is_refused_or_flagged(tmp_path, ct, position):
    error = refused(dicom(tmp_path, ct, PatientPosition=position))
    assert (error.code, "read_ct.not_supine" in error.hint) == ("NOT_SUPINE", True)
    volume, record = read_ct(tmp_path / "series", replace(SMALL, not_supine="keep"))
    assert_same(volume, ct)
    assert record.flags == ("NOT_SUPINE",)


def test_unused_bits_are_ignored(tmp_path, ct):
    slices = make_slices(ct.values, ct.world_from_index, intercept=-1200)
    for data in slices:
        stored = np.frombuffer(data.PixelData, "<u2")
        data.PixelData = (stored | 0xA000).astype("<u2").tobytes()
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    assert_same(read_ct(write_slices(tmp_path / "s", slices), SMALL)[0], ct)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_lossless_compression_changes_nothing(tmp_path, ct, syntax):
    slices = make_slices(ct.values, ct.world_from_index)
    folder = write_slices(tmp_path / "s", slices)
    for path in sorted(folder.iterdir()):
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    assert_same(read_ct(folder, SMALL)[0], ct)


def test_compression_without_decoder_is_named(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    data = pydicom.dcmread(folder / "000.dcm")
    data.PixelData = encapsulate([b"junk" * 20])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(folder / "000.dcm")
    error = refused(folder)
    assert error.code == "NO_DECODER"
    assert JPEGLosslessSV1 in error.found


# ---- repairs


@pytest.mark.parametrize("padding", [-1024, -2048, -3024])
@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_padding_becomes_air(tmp_path, ct, padding, kind):
    y, x = np.meshgrid(np.linspace(-1, 1, 22), np.linspace(-1, 1, 26), indexing="ij")
    outside = np.broadcast_to(x**2 + y**2 > 1, ct.shape)
    padded = ct.with_values(np.where(outside, np.int16(padding), ct.values))
    if kind == "dicom":
        path = dicom(tmp_path, padded, PixelPaddingValue=padding + 1024)
    else:
        path = tmp_path / "ct.nii.gz"
        write_volume(path, padded)
    volume, record = read_ct(path, SMALL)
    assert_same(volume, ct.with_values(np.where(outside, np.int16(-1000), ct.values)))
    assert record.status == "corrected"
    assert [code for code, _ in record.corrections] == ["PADDING_FILLED"]
    assert record.source["padding_share"] == pytest.approx(outside.mean(), abs=1e-4)


def test_background_of_zero_becomes_air_but_tissue_of_zero_stays(tmp_path, ct):
    values = ct.values.copy()
    values[:, :3], values[:, -3:], values[:, :, :2], values[:, :, -2:] = 0, 0, 0, 0
    values[10, 11, 13] = 0
    write_volume(tmp_path / "ct.nii.gz", ct.with_values(values))
    volume, record = read_ct(tmp_path / "ct.nii.gz", SMALL)
    assert (volume.values[:, 0] == -1000).all()
    assert volume.values[10, 11, 13] == 0
    assert record.corrections[0].code == "PADDING_FILLED"


def test_one_missing_slice_is_interpolated_at_its_place(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    (folder / "007.dcm").unlink()
    volume, record = read_ct(folder, SMALL)
    kept = np.arange(20) != 7
    np.testing.assert_array_equal(volume.values[kept], ct.values[kept])
    middle = np.rint((ct.values[6].astype(float) + ct.values[8]) / 2)
    np.testing.assert_array_equal(volume.values[7], middle)
    np.testing.assert_allclose(volume.world_from_index, ct.world_from_index, atol=1e-4)
    assert record.corrections[0].code == "GAP_FILLED"
    assert "6.00 mm" in record.corrections[0].text


@pytest.mark.parametrize("gone", [[7, 8], [3, 9, 14]])
def test_more_missing_slices_are_refused(tmp_path, ct, gone):
    folder = dicom(tmp_path, ct)
    for index in gone:
        (folder / f"{index:03d}.dcm").unlink()
    error = refused(folder)
    assert error.code == "SLICE_GAP"
    assert f"{len(gone)} slices missing" in error.found


def test_uneven_steps_are_resampled_from_true_positions(tmp_path):
    z = np.concatenate([np.arange(0, 30, 2.0), np.arange(30, 60, 3.0)])
    values = np.full((len(z), 12, 12), -1000, np.int16)
    values[:, 2:-2, 2:-2] = z[:, None, None]  # a ramp: linear interpolation is exact
    slices = make_slices(values, np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]])
    for data, at in zip(slices, z, strict=True):
        data.ImagePositionPatient = [0.0, 0.0, float(at)]
    volume, record = read_ct(write_slices(tmp_path / "s", slices), SMALL)
    assert record.corrections[0].code == "SPACING_RESAMPLED"
    np.testing.assert_allclose(volume.values[:, 6, 6], 2.0 * np.arange(volume.shape[0]), atol=0.51)


@pytest.mark.parametrize("angle_deg", [-15.0, 2.0])
def test_gantry_tilt_is_sheared_back(tmp_path, angle_deg):
    ball = Volume.from_spacing(np.full((60, 50, 44), -1000, np.int16), (2.0, 2.0, 2.0), (-44.0, -50.0, -60.0))
    sheared = ball.world_from_index.copy()
    sheared[1, 0] = 2.0 * np.tan(np.radians(angle_deg))
    tilted = Volume(ball.values, sheared)
    center = tilted.center_world_mm
    world = tilted.to_world(np.indices(ball.shape).reshape(3, -1).T)
    inside = (np.linalg.norm(world - center, axis=1) < 25).reshape(ball.shape)
    tilted = tilted.with_values(np.where(inside, 40, -1000).astype(np.int16))
    volume, record = read_ct(dicom(tmp_path, tilted), SMALL)
    assert record.corrections[-1].code == "TILT_CORRECTED"
    assert f"{abs(angle_deg):.2f}" in record.corrections[-1].text
    found = volume.to_world(np.argwhere(volume.values > -480))
    np.testing.assert_allclose(found.mean(axis=0), center, atol=0.2)
    np.testing.assert_allclose(np.ptp(found, axis=0), 50, atol=4)
    assert refused(tmp_path / "series", ReadCtSettings(min_num_slices=5, min_length_mm=0, max_tilt_deg=1)).code


def test_oblique_volume_is_resampled_at_its_place(tmp_path):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("zyx", [10, 5, -8], degrees=True).as_matrix()
    straight = Volume.from_spacing(np.full((40, 44, 48), -1000, np.int16), (2.0, 2.0, 2.0), (10.0, 20.0, 30.0))
    oblique = Volume(straight.values, turn @ straight.world_from_index)
    center = oblique.to_world(np.array([20, 25, 22]))
    world = oblique.to_world(np.indices(oblique.shape).reshape(3, -1).T)
    inside = (np.linalg.norm(world - center, axis=1) < 18).reshape(oblique.shape)
    oblique = oblique.with_values(np.where(inside, 40, -1000).astype(np.int16))
    nib.save(nib.Nifti1Image(oblique.values.T, ras_from_ijk(oblique)), tmp_path / "ct.nii")
    volume, record = read_ct(tmp_path / "ct.nii", SMALL)
    assert record.corrections[-1].code == "OBLIQUE_RESAMPLED"
    np.testing.assert_allclose(volume.to_world(np.argwhere(volume.values > -480)).mean(axis=0), center, atol=0.2)


def test_metal_is_cut_and_nan_filled(tmp_path, ct):
    values = ct.values.astype(np.float32)
    values[10, 11, 13], values[9, 11, 13] = 20000, np.nan
    write_volume(tmp_path / "ct.nii.gz", ct.with_values(values))
    volume, record = read_ct(tmp_path / "ct.nii.gz", SMALL)
    assert volume.values[10, 11, 13] == 3071
    assert volume.values[9, 11, 13] == -1000
    assert {code for code, _ in record.corrections} == {"METAL_CUT", "NON_FINITE_FILLED"}
    assert "METAL" in record.flags
    values[:2] = np.nan
    write_volume(tmp_path / "nan.nii.gz", ct.with_values(values))
    assert refused(tmp_path / "nan.nii.gz").code == "NON_FINITE"


# ---- series


def test_other_objects_and_scouts_are_left_aside(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    scout = make_slices(ct.values.transpose(1, 0, 2)[:1], ct.world_from_index[:, [1, 0, 2, 3]], series="1.2.3")
    scout[0].SOPInstanceUID = "1.2.3.99"
    write_slices(folder, scout, ["scout.dcm"])
    other = make_slices(ct.values[:1], ct.world_from_index, series="1.2.5", Modality="SR",
                        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")  # fmt: skip
    write_slices(folder, other, ["report.dcm"])
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert record.corrections == (("OTHER_DROPPED", "2 DICOM objects that are no CT slices left aside"),)


def test_series_are_chosen_by_rule_or_by_name(tmp_path, ct):
    folder = dicom(tmp_path, ct, "both/a", series="1.2.3").parent
    thick = Volume(ct.values[::2], ct.world_from_index @ np.diag([2.0, 1, 1, 1]))
    dicom(tmp_path, thick, "both/b", series="1.2.4")
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert record.corrections[0].code == "SERIES_CHOSEN"
    chosen, _ = read_ct(folder, SMALL, series_uid="1.2.4")
    np.testing.assert_array_equal(chosen.values, thick.values)
    dicom(tmp_path, ct.with_values(ct.values + np.int16(5)), "both/c", series="1.2.6")
    error = refused(folder)
    assert error.code == "SERIES_AMBIGUOUS"
    assert "2 series; CT: 20 slices, 3.00 mm apart, 57 mm, kernel STANDARD" in error.found
    assert "--list-series" in error.hint
    assert refused(folder, series_uid="7.7").code == "SERIES_NOT_FOUND"


def test_of_two_kernels_the_soft_one_is_taken(tmp_path, ct):
    folder = dicom(tmp_path, ct.with_values(ct.values + np.int16(5)), "both/a", ConvolutionKernel="B70f").parent
    dicom(tmp_path, ct, "both/b", series="1.2.4", ConvolutionKernel="B31f")
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert (record.source["kernel"], record.corrections[0].code) == ("B31f", "SERIES_CHOSEN")
    for path in (folder / "b").iterdir():
        data = pydicom.dcmread(path)
        data.ConvolutionKernel = "B80f"
        data.save_as(path)
    assert refused(folder).code == "SERIES_AMBIGUOUS"


def test_reformats_and_slabs_are_passed_over_for_the_scanned_slices(tmp_path, ct):
    folder = dicom(tmp_path, ct, "all/a").parent
    coronal = Volume(ct.values.transpose(1, 0, 2), ct.world_from_index[:, [1, 0, 2, 3]])
    dicom(tmp_path, coronal, "all/b", series="1.2.4")  # thinner, longer
    dicom(tmp_path, ct, "all/c", series="1.2.5", ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    bright = ct.with_values(ct.values + np.int16(50))
    dicom(tmp_path, bright, "all/d", series="1.2.6", ImageType=["DERIVED", "SECONDARY", "REFORMATTED", "MIP"])
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert dict(record.corrections).keys() == {"SERIES_CHOSEN", "OTHER_DROPPED"}
    assert refused(folder / "d").code == "NOT_CT"


def test_a_scan_in_two_series_is_joined_where_all_agrees(tmp_path, ct):
    slices = make_slices(ct.values, ct.world_from_index)
    for data in slices[13:]:
        data.SeriesInstanceUID = "1.2.4"
    folder = write_slices(tmp_path / "s", slices)
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert record.corrections == (
        ("SERIES_JOINED", "2 series that make one scan joined: 20 slices, 3.00 mm apart, 57 mm, kernel STANDARD"),
    )
    part, _ = read_ct(folder, SMALL, series_uid="1.2.3")
    np.testing.assert_array_equal(part.values, ct.values[:13])
    for path in sorted(folder.iterdir())[13:]:
        data = pydicom.dcmread(path)
        data.ConvolutionKernel = "LUNG"
        data.save_as(path)
    assert refused(folder).code == "SERIES_SPLIT"


def test_text_in_the_pixels_is_refused(tmp_path, ct):
    assert refused(dicom(tmp_path, ct, BurnedInAnnotation="YES")).code == "BURNED_IN"


def test_holes_in_the_numbering_are_flagged(tmp_path, ct):
    slices = make_slices(ct.values, ct.world_from_index)
    volume, record = read_ct(write_slices(tmp_path / "s", slices[4:]), SMALL)
    assert (len(volume.values), record.flags) == (16, ("INSTANCE_NUMBERS_ODD",))


def test_files_without_preamble_are_read_and_flagged(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        del data.file_meta
        data.preamble = None
        # Old archives: no preamble, no file meta, implicit VR, no suffix.
        data.save_as(folder / f"IM{number:04d}", implicit_vr=True, little_endian=True, enforce_file_format=False)
        path.unlink()
    assert (folder / "IM0000").read_bytes()[128:132] != b"DICM"
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert record.flags == ("NO_PREAMBLE",)


def test_a_lost_offset_comes_back_by_a_setting(tmp_path, ct):
    write_volume(tmp_path / "ct.nii.gz", ct.with_values(ct.values + np.int16(1024)))
    assert "read_ct.add_hu to -1024" in refused(tmp_path / "ct.nii.gz").hint
    volume, record = read_ct(tmp_path / "ct.nii.gz", replace(SMALL, add_hu=-1024))
    assert_same(volume, ct)
    assert record.corrections == (("HU_SHIFTED", "-1024 HU added to all voxels (read_ct.add_hu)"),)


def test_copies_are_dropped_and_other_pixels_at_one_place_refused(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    (folder / "copy.dcm").write_bytes((folder / "004.dcm").read_bytes())
    volume, record = read_ct(folder, SMALL)
    assert_same(volume, ct)
    assert record.corrections[0].code == "DUPLICATES_DROPPED"
    (extra,) = make_slices(ct.values[4:5] + np.int16(50), ct.world_from_index)
    extra.ImagePositionPatient, extra.SOPInstanceUID = [-15.0, -20.0, -388.0], "1.2.3.77"
    write_slices(folder, [extra], ["other.dcm"])
    assert refused(folder).code == "DUPLICATE_POSITION"


def test_phases_are_told_apart(tmp_path, ct):
    dicom(tmp_path, ct)
    late = make_slices(ct.values[:-1] + np.int16(9), ct.world_from_index, AcquisitionNumber=2)
    write_slices(tmp_path / "series", late, [f"late{k:03d}.dcm" for k in range(19)])
    volume, record = read_ct(tmp_path / "series", SMALL)
    assert_same(volume, ct)
    assert record.corrections[0].code == "PHASE_CHOSEN"


# ---- refusals


DELETE = object()


@pytest.mark.parametrize(
    ("tag", "value", "which", "code"),
    [
        ("Modality", "MR", "all", "NOT_CT"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", "all", "NOT_CT"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"], "all", "NOT_CT"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1", "all", "ENHANCED_UNSUPPORTED"),
        ("NumberOfFrames", 2, 3, "ENHANCED_UNSUPPORTED"),
        ("ImagePositionPatient", DELETE, 3, "NO_POSITION"),
        ("ImageOrientationPatient", [1.0, 0, 0, 1, 0, 0], 3, "NO_POSITION"),
        ("PixelSpacing", [0.0, 0.0], "all", "BAD_SPACING"),
        ("PixelSpacing", DELETE, 3, "BAD_SPACING"),
        ("RescaleSlope", DELETE, 3, "NO_RESCALE"),
        ("RescaleIntercept", DELETE, "all", "NO_RESCALE"),
        ("RescaleSlope", 0, "all", "BAD_RESCALE"),
        ("RescaleSlope", 11, 3, "BAD_RESCALE"),
        ("ImageOrientationPatient", [1.0, 0, 0, 0, 0.996195, 0.087156], 3, "ORIENTATION_MIXED"),
        ("PixelSpacing", [1.5, 1.26], 3, "MATRIX_MIXED"),
        ("ImagePositionPatient", [-9.0, -20.0, -391.0], 3, "POSITION_MIXED"),
    ],
)
def test_bad_headers_are_refused_with_their_code(tmp_path, ct, tag, value, which, code):
    slices = make_slices(ct.values, ct.world_from_index)
    for data in slices if which == "all" else [slices[which]]:
        if value is DELETE:
            delattr(data, tag)
        else:
            setattr(data, tag, value)
    assert refused(write_slices(tmp_path / "s", slices)).code == code


def test_other_matrix_is_refused(tmp_path, ct):
    slices = make_slices(ct.values, ct.world_from_index)
    slices[3].Rows, slices[3].PixelData = 11, slices[3].PixelData[: 11 * 26 * 2]
    assert refused(write_slices(tmp_path / "s", slices)).code == "MATRIX_MIXED"


def test_thick_few_and_short_series(tmp_path, ct):
    whole = Volume(ct.values.repeat(2, axis=0), ct.world_from_index)
    thick = Volume(whole.values, ct.world_from_index @ np.diag([5 / 3, 1, 1, 1]))
    volume, record = read_ct(dicom(tmp_path, thick, "thick"), ReadCtSettings())
    assert (volume.spacing_mm[0], record.flags) == (pytest.approx(5.0), ("THICK_SLICES",))
    wide = Volume(whole.values, ct.world_from_index @ np.diag([5.1 / 3, 1, 1, 1]))
    assert refused(dicom(tmp_path, wide, "wide"), ReadCtSettings()).code == "BAD_SPACING"
    assert refused(dicom(tmp_path, ct, "short"), ReadCtSettings()).code == "TOO_FEW_SLICES"
    few = Volume(thick.values[:39], thick.world_from_index)
    assert refused(dicom(tmp_path, few, "few"), ReadCtSettings()).code == "TOO_FEW_SLICES"
    write_volume(tmp_path / "short.nii.gz", ct)
    assert refused(tmp_path / "short.nii.gz", ReadCtSettings()).code == "TOO_FEW_SLICES"


@pytest.mark.parametrize("keep", [0, 200, 800, -20])
def test_cut_dicom_is_refused(tmp_path, ct, keep):
    folder = dicom(tmp_path, ct)
    (folder / "005.dcm").write_bytes((folder / "005.dcm").read_bytes()[:keep])
    error = refused(folder)
    assert error.code == "CORRUPT_FILE"
    assert error.where == "series, file 6 of 20"


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nrrd"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_cut_volume_files_are_refused(tmp_path, ct, name, compress, keep):
    image = sitk.GetImageFromArray(ct.values)
    sitk.WriteImage(image, str(tmp_path / name), compress)
    data = next((path for path in tmp_path.iterdir() if path.suffix in (".raw", ".zraw")), tmp_path / name)
    whole = data.read_bytes()
    data.write_bytes(whole[: int(keep * len(whole))])
    assert refused(tmp_path / name).code in (["CORRUPT_FILE"] if keep else ["CORRUPT_FILE", "BAD_HEADER"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda hu: hu + 1024, "HU_OFFSET"),
        (lambda hu: np.clip((hu + 1000) / 5, 0, 255), "NOT_HU"),
        (lambda hu: (hu - hu.min()) / np.ptp(hu), "NOT_HU"),
        (lambda hu: np.full_like(hu, -1000), "NOT_HU"),
    ],
)
def test_numbers_that_are_no_hu_are_refused(tmp_path, ct, change, code):
    write_volume(tmp_path / "ct.nii.gz", ct.with_values(change(ct.values.astype(np.float32)).astype(np.float32)))
    error = refused(tmp_path / "ct.nii.gz")
    assert error.code == code
    assert code != "HU_OFFSET" or "add_hu to -1024" in error.hint


def test_offset_is_seen_through_padding(tmp_path, ct):
    values = ct.values + np.int16(1024)
    values[:, :4], values[:, -4:], values[:, :, :4], values[:, :, -4:] = (-976,) * 4
    write_volume(tmp_path / "ct.nii.gz", ct.with_values(values))
    assert refused(tmp_path / "ct.nii.gz").code == "HU_OFFSET"


def test_odd_nifti_headers(tmp_path, ct):
    affine = ras_from_ijk(ct)

    def save(name, data, **kwargs):
        image = nib.Nifti1Image(data, None if kwargs.get("no_affine") else affine)
        if "qform" in kwargs:
            image.set_qform(kwargs["qform"], 1)
            image.set_sform(affine, 1)
        if kwargs.get("no_affine"):
            image.set_qform(None, 0)
            image.set_sform(None, 0)
        nib.save(image, tmp_path / name)
        return tmp_path / name

    assert_same(read_ct(save("one.nii", ct.values.T[..., None]), SMALL)[0], ct)
    assert refused(save("four.nii", np.stack([ct.values.T] * 2, -1))).code == "NOT_3D"
    assert refused(save("two.nii", ct.values[0].T)).code == "NOT_3D"
    rgb = np.zeros(ct.shape[::-1], dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert refused(save("rgb.nii", rgb)).code == "NOT_3D"
    assert refused(save("none.nii", ct.values.T, no_affine=True)).code == "NO_ORIENTATION"
    other = affine.copy()
    other[0, 3] += 5
    path = save("twice.nii", ct.values.T, qform=other)
    assert refused(path).code == "NIFTI_TRANSFORM"
    trusting = ReadCtSettings(min_num_slices=5, min_length_mm=0, nifti_transform="sform")
    assert_same(read_ct(path, trusting)[0], ct)
    data = bytearray(save("scl.nii", ct.values.T).read_bytes())
    data[112:120] = np.array([0, -1024], "<f4").tobytes()
    (tmp_path / "scl.nii").write_bytes(data)
    assert refused(tmp_path / "scl.nii").code == "BAD_RESCALE"
    limited = ReadCtSettings(min_num_slices=5, min_length_mm=0, max_num_voxels=1000)
    assert refused(tmp_path / "one.nii", limited).code == "TOO_LARGE"


def test_header_must_not_point_out_of_its_folder(tmp_path, ct):
    image = sitk.GetImageFromArray(ct.values)
    (tmp_path / "in").mkdir()
    sitk.WriteImage(image, str(tmp_path / "in" / "a.mhd"))
    (tmp_path / "in" / "a.raw").rename(tmp_path / "a.raw")
    header = tmp_path / "in" / "a.mhd"
    text = header.read_text()
    for name in ("../a.raw", str(tmp_path / "a.raw")):
        header.write_text(text.replace("= a.raw", f"= {name}"))
        assert refused(header).code == "PATH_ESCAPE"
    header.write_text(text)
    assert refused(header).code == "CORRUPT_FILE"  # the data file is not there
    (tmp_path / "a.raw").rename(tmp_path / "in" / "a.raw")
    header.write_text("\n".join(line for line in text.splitlines() if "Spacing" not in line) + "\n")
    assert refused(header).code == "BAD_SPACING"


def test_unknown_and_missing_paths(tmp_path):
    (tmp_path / "a.txt").write_text("no CT")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "a.txt").code == "UNKNOWN_FORMAT"
    assert refused(tmp_path / "none.nii.gz").code == "FILE_MISSING"
    assert refused(tmp_path / f"{'x' * 300}.nii.gz").code == "FILE_MISSING"
    assert refused(tmp_path / "empty").code == "NOT_CT"


# ---- masks and the command


def test_mask_comes_to_the_grid_of_the_ct(tmp_path, ct):
    inside = ct.values < -600
    coarse = Volume(inside[::-1, ::2].astype(np.uint8), ct.world_from_index @ np.diag([-1.0, 2, 1, 1]))
    coarse.world_from_index[:3, 3] = ct.to_world(np.array([19, 0, 0]))
    nib.save(nib.Nifti1Image(coarse.values.T, ras_from_ijk(coarse)), tmp_path / "m.nii.gz")
    mask = read_mask(tmp_path / "m.nii.gz", ct)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask[:, ::2], inside[:, ::2])
    far = Volume(inside.astype(np.uint8), ct.world_from_index.copy())
    far.world_from_index[2, 3] += 500
    write_volume(tmp_path / "far.nii.gz", far)
    with pytest.raises(CaseRefused, match="mask that lies on its CT"):
        read_mask(tmp_path / "far.nii.gz", ct)


def test_command_writes_ct_and_record(tmp_path, ct, capsys):
    folder = dicom(tmp_path, ct)
    arguments = [
        "read-ct",
        str(folder),
        "--output",
        str(tmp_path / "ct.nii.gz"),
        "--record",
        str(tmp_path / "case.json"),
    ]
    assert main([*arguments, "--min-num-slices", "5", "--min-length-mm", "0"]) == 0
    assert "series: accepted" in capsys.readouterr().out
    assert_same(read_volume(tmp_path / "ct.nii.gz"), ct)
    assert json.loads((tmp_path / "case.json").read_text())["status"] == "accepted"
    assert str(tmp_path) not in (tmp_path / "case.json").read_text()
    (tmp_path / "ct.nii.gz").unlink()
    assert main(arguments) == 1  # too short for the default limits
    assert "TOO_FEW_SLICES" in capsys.readouterr().err
    record = CaseRecord.from_json(json.loads((tmp_path / "case.json").read_text()))
    assert (record.status, record.code) == ("refused", "TOO_FEW_SLICES")
    assert not (tmp_path / "ct.nii.gz").exists()
    assert command.SUMMARY


def test_case_ids_from_names(tmp_path):
    assert make_case_id(tmp_path / "A b.NII.GZ") == "A_b"
    assert make_case_id(tmp_path / "..." / "x.y.mha") == "x.y"
    assert make_case_id(tmp_path / "Ä.nrrd") == "_"


def test_series_are_listed_by_uid_for_who_asks(tmp_path, ct, capsys):
    folder = dicom(tmp_path, ct, "both/a", series="1.2.3").parent
    dicom(tmp_path, ct, "both/b", series="1.2.4", ConvolutionKernel="B70f")
    assert main(["read-ct", str(folder), "--list-series"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1.2.3\t20 slices, 3.00 mm apart, 57 mm, kernel STANDARD",
        "1.2.4\t20 slices, 3.00 mm apart, 57 mm, kernel B70f",
    ]
    assert main(["read-ct", str(folder)]) == 1
    assert "Add --output" in capsys.readouterr().err


# ---- the process that opens DICOM files


def test_a_file_that_kills_its_decoder_is_corrupt_and_the_next_one_is_read(tmp_path, ct, monkeypatch):
    folder = dicom(tmp_path, ct)
    child = get_child(SMALL.decode_memory_mb, SMALL.decode_seconds)
    read_ct(folder, SMALL)
    talk = child._talk

    def kill_at_third(request, max_bytes):
        if request["do"] == "pixels" and request["path"].endswith("003.dcm"):
            child._process.kill()
        return talk(request, max_bytes)

    monkeypatch.setattr(child, "_talk", kill_at_third)
    error = refused(folder)
    assert (error.code, error.where) == ("CORRUPT_FILE", "series, file 4 of 20")
    assert "the decoder broke down" in error.found
    monkeypatch.undo()
    assert_same(read_ct(folder, SMALL)[0], ct)


def test_a_file_that_takes_too_long_or_too_much_is_refused(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    slow = DicomChild(2048, 30)
    slow.read_header(folder / "000.dcm")
    os.kill(slow._process.pid, signal.SIGSTOP)  # a decoder that never comes back
    slow.seconds = 0.1
    with pytest.raises(NoAnswer) as caught:
        slow.read_header(folder / "000.dcm")
    assert caught.value.kind == "time"
    slow.seconds = 30
    assert slow.read_header(folder / "000.dcm")[0]["rows"] == 22  # a new process
    slow.close()
    bomb = make_deflated_bomb(tmp_path / "bomb", make_slices(ct.values, ct.world_from_index)[0], num_bytes=1 << 29)
    assert bomb.stat().st_size < 1 << 20
    error = refused(tmp_path / "bomb", replace(SMALL, decode_memory_mb=400))
    assert (error.code, "read_ct.decode_memory_mb" in error.hint) == ("TOO_LARGE", True)


def test_a_child_that_cannot_start_is_no_fault_of_the_case(tmp_path, ct, monkeypatch):
    monkeypatch.setattr("drrx.io.dicom_child.sys.executable", "/bin/false")
    with pytest.raises(ChildProcessError, match=r"python -m drrx\.io\.dicom_worker 300 10"):
        read_ct(dicom(tmp_path, ct), replace(SMALL, decode_memory_mb=300))


def test_the_child_leaves_no_process_behind_when_its_parent_is_killed(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    code = (
        "import sys, time; from pathlib import Path; from drrx.io.dicom_child import get_child; "
        "child = get_child(2048, 30); child.read_header(Path(sys.argv[1])); "
        "print(child._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder / "000.dcm")], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child lives on")


def test_frames_of_an_enhanced_ct_are_slices(tmp_path, ct):
    (tmp_path / "s").mkdir()
    write_enhanced(tmp_path / "s" / "all.dcm", make_slices(ct.values, ct.world_from_index, slope=2, intercept=-1000))
    volume, record = read_ct(tmp_path / "s", SMALL)
    assert_same(volume, read_ct(dicom(tmp_path, ct, slope=2, intercept=-1000), SMALL)[0])
    np.testing.assert_allclose(volume.values, ct.values, atol=1)
    assert (record.status, record.source["num_files"]) == ("accepted", 1)
    data = pydicom.dcmread(tmp_path / "s" / "all.dcm")
    del data.PerFrameFunctionalGroupsSequence
    data.save_as(tmp_path / "s" / "all.dcm")
    assert refused(tmp_path / "s").code == "ENHANCED_UNSUPPORTED"


def test_an_enhanced_ct_of_another_writer_is_read(tmp_path, ct):
    legacy = pytest.importorskip("highdicom.legacy")
    needed = {
        "PatientID": "1", "PatientName": "A^B", "PatientBirthDate": "", "PatientSex": "", "AccessionNumber": "",
        "StudyID": "", "StudyDate": "20200101", "StudyTime": "000000", "ReferringPhysicianName": "", "SeriesNumber": 1,
        "PatientPosition": "HFS", "PositionReferenceIndicator": "", "SeriesDate": "20200101", "SeriesTime": "000000",
        "SliceThickness": "3", "KVP": "120", "Manufacturer": "SIEMENS", "ManufacturerModelName": "Sensation 10",
        "ContentDate": "20200101", "ContentTime": "000000",
    }  # fmt: skip
    single = [pydicom.dcmread(path) for path in sorted(dicom(tmp_path, ct, **needed).iterdir())]
    enhanced = legacy.LegacyConvertedEnhancedCTImage(single, "1.2.77", 2, "1.2.78", 1)
    enhanced.save_as(tmp_path / "enhanced.dcm")
    volume, record = read_ct(tmp_path / "enhanced.dcm", SMALL)
    assert_same(volume, ct)
    assert (record.source["manufacturer"], record.source["model"]) == ("Siemens", "Sensation")


# ---- what is left on the disk


def test_one_file_stands_for_its_folder_and_no_folder_below_is_looked_at(tmp_path, ct):
    folder = dicom(tmp_path, ct)
    (folder / "below").mkdir()
    (folder / "below" / "leads_out").symlink_to("/")
    volume, _ = read_ct(folder / "004.dcm", SMALL)
    assert_same(volume, ct)
    assert refused(folder).code == "LINK_ESCAPE"


def test_what_a_killed_process_unpacked_goes_and_nothing_stays(tmp_path, ct, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = dicom(tmp_path, ct)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    code = (
        "import os, pathlib, tempfile; from drrx.io.temporary import name_temporary; "
        f"folder = pathlib.Path({str(tmp_path / 'tmp')!r}, name_temporary('unpacked')); folder.mkdir(); "
        "(folder / 'a.dcm').write_text('a patient'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert_same(read_ct(tmp_path / "ct.zip", SMALL)[0], ct)
    assert list((tmp_path / "tmp").iterdir()) == []
