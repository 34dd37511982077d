"""Real odd DICOM files, read where they lie; skipped where they are not.

``DRRX_SHARED_DATA`` names the folder that holds ``dicom/``; by default ``shared/data`` beside the checkout.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from drrx.errors import CaseRefused
from drrx.io.ct import read_ct
from drrx.io.settings import ReadCtSettings
from tests.battery.judge import is_same_grid, to_canonical
from tests.battery.readers import read_simpleitk

DATA = Path(os.environ.get("DRRX_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / "dicom"
SYNTAXES = DATA / "transfer_syntaxes_ge_chest_slice"
SMALL = ReadCtSettings(min_num_slices=2, min_length_mm=0.0)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real files are not here (DRRX_SHARED_DATA)")


def refuse(path, settings=SMALL):
    with pytest.raises(CaseRefused) as caught:
        read_ct(path, settings)
    return caught.value


def list_codes(record):
    return [code for code, _ in record.corrections]


def test_chest_of_8_mm_is_refused_unless_it_is_wanted():
    folder = DATA / "chest_8mm_siemens"
    assert refuse(folder, ReadCtSettings()).code == "TOO_FEW_SLICES"
    assert refuse(folder).code == "BAD_SPACING"
    volume, record = read_ct(folder, replace(SMALL, max_slice_spacing_mm=8.5))
    assert (record.status, volume.shape) == ("accepted", (30, 512, 512))
    assert "THICK_SLICES" in record.flags
    ((values, affine),) = read_simpleitk({"path": str(folder)})
    other = to_canonical(values, affine)
    np.testing.assert_array_equal(volume.values, other.values)
    assert is_same_grid(volume, other, 1e-3)


def test_head_with_tilt_and_three_steps():
    folder = DATA / "head_tilt_variable_spacing_ge"
    error = refuse(folder)
    assert error.code == "SLICE_GAP"
    assert "7.00 mm" in error.found
    wide = replace(SMALL, max_gap_mm=8.0)
    volume, record = read_ct(folder, wide)
    assert list_codes(record) == ["SPACING_RESAMPLED", "PADDING_FILLED", "TILT_CORRECTED"]
    assert "18.50" in record.corrections[-1].text  # GantryDetectorTilt says +18.5
    for file in ("11.dcm", "14.dcm", "15.dcm", "18.dcm"):  # near the ends, and both sides of the change of step
        assert measure_difference(volume, folder / file) < 10


def measure_difference(volume, file):
    """Return the median difference, HU, of a tilted slice's pixels and the volume at the places of these pixels."""
    data = pydicom.dcmread(file)
    hu = np.maximum(data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept), -1000)
    rows, columns = np.indices(hu.shape)
    right, down = np.array(data.ImageOrientationPatient, dtype=float).reshape(2, 3)
    between_rows, between_columns = data.PixelSpacing
    place = (np.array(data.ImagePositionPatient, dtype=float) + rows[..., None] * down * between_rows
             + columns[..., None] * right * between_columns)  # fmt: skip
    found = ndimage.map_coordinates(volume.values.astype(float), np.moveaxis(volume.to_index(place), -1, 0), order=1)
    tissue = (hu > -200) & (ndimage.uniform_filter(hu, 5) > -200)
    assert tissue.mean() > 0.1
    return float(np.median(np.abs(found - hu)[tissue]))


def test_phantom_tilted_the_other_way():
    volume, record = read_ct(DATA / "phantom_tilt_philips", SMALL)
    assert list_codes(record) == ["TILT_CORRECTED"]
    assert "16.50" in record.corrections[0].text
    assert volume.spacing_mm[0] == pytest.approx(2.5, abs=1e-3)
    assert measure_difference(volume, DATA / "phantom_tilt_philips" / "I220.dcm") < 10


def test_enhanced_file_and_its_jpeg_twin(tmp_path):
    folder = DATA / "enhanced_multiframe"
    assert refuse(folder).code == "NO_DECODER"  # both have one series UID: the JPEG one is part of it
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.dcm").write_bytes((folder / "eCT_Supplemental.dcm").read_bytes())
    assert refuse(tmp_path / "a").code == "BAD_SPACING"  # two frames, 10 mm apart
    volume, record = read_ct(tmp_path / "a", replace(SMALL, max_slice_spacing_mm=12.0))
    data = pydicom.dcmread(folder / "eCT_Supplemental.dcm")
    rescale = data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    hu = data.pixel_array * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
    hu = hu[:, :, ::-1]  # its rows run from left to right of the patient
    inside = volume.values != -1000
    np.testing.assert_array_equal(volume.values[inside], hu[inside])
    assert (hu[~inside & (hu != -1000)] == -1024).all()  # the background
    assert volume.spacing_mm[0] == pytest.approx(10.0)
    assert "LOSSY" not in record.flags


def test_neck_with_a_single_and_a_double_gap():
    folder = DATA / "neck_j2k_missing_slices"
    error = refuse(folder)
    assert error.code == "SLICE_GAP"
    assert "3 slices missing" in error.found
    volume, record = read_ct(folder, replace(SMALL, max_missing_percent=10.0))
    assert list_codes(record) == ["GAP_FILLED"]
    assert {"LOSSY", "INSTANCE_NUMBERS_ODD"} <= set(record.flags)
    assert volume.shape[0] == 44
    for index, file in ((12, "n012.dcm"), (14, "n014.dcm"), (29, "n029.dcm")):
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / file)))[0]
        np.testing.assert_array_equal(volume.values[index], np.minimum(image, 3071))


def test_mixed_folder_gives_its_longest_series():
    volume, record = read_ct(DATA / "mixed_series", SMALL)
    assert list_codes(record) == ["SERIES_CHOSEN", "OTHER_DROPPED"]
    assert volume.shape == (6, 512, 512)
    assert refuse(DATA / "mixed_series" / "sr_no_pixel_data.dcm").code == "NOT_CT"
    assert refuse(DATA / "mixed_series" / "topogram_chest_siemens.dcm").code == "NOT_CT"
    assert refuse(DATA / "mixed_series" / "us_no_pixel_spacing.dcm").code == "NOT_CT"
    assert refuse(DATA / "mixed_series" / "petct_chest_slice.dcm").code == "TOO_FEW_SLICES"


def make_pair(folder, file):
    """Write the slice and a copy 5 mm higher: the least that is a stack."""
    folder.mkdir()
    (folder / "a.dcm").write_bytes(file.read_bytes())
    data = pydicom.dcmread(file)
    x, y, z = data.ImagePositionPatient
    data.ImagePositionPatient, data.SOPInstanceUID, data.InstanceNumber = [x, y, z + 5], "1.2.3", 2
    data.save_as(folder / "b.dcm")
    return folder


def find_syntax(word):
    return next(file for file in sorted(SYNTAXES.iterdir()) if file.name.startswith(f"ct_{word}"))


@pytest.mark.parametrize(
    ("word", "off_hu"),
    [("BigEndian", 0), ("Deflated", 0), ("RLE", 0), ("JPEGLSLossless", 0), ("JPEG2000Lossless", 0),
     ("JPEGLSLossy", 1), ("JPEG2000Transfer", 5)],
)  # fmt: skip
def test_transfer_syntaxes_decode_to_the_same_bits(tmp_path, word, off_hu):
    plain, _ = read_ct(make_pair(tmp_path / "plain", find_syntax("LittleEndian")), SMALL)
    volume, record = read_ct(make_pair(tmp_path / "other", find_syntax(word)), SMALL)
    assert np.abs(volume.values.astype(int) - plain.values).max() == off_hu
    assert ("LOSSY" in record.flags) == (off_hu > 0)


@pytest.mark.parametrize(
    ("word", "code"),
    [("JPEGProcess1Transfer", "BAD_RESCALE"), ("JPEGProcess2_4", "NO_DECODER"), ("JPEGProcess6_8", "NO_DECODER"),
     ("JPEGProcess10_12", "NO_DECODER"), ("JPEGProcess14Transfer", "NO_DECODER"), ("JPEGProcess14SV1", "NO_DECODER")],
)  # fmt: skip
def test_old_jpeg_is_refused_by_name(tmp_path, word, code):
    assert refuse(make_pair(tmp_path / "s", find_syntax(word))).code == code


def test_the_plain_slice_equals_what_simpleitk_reads(tmp_path):
    file = find_syntax("LittleEndian")
    volume, _ = read_ct(make_pair(tmp_path / "s", file), SMALL)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
    inside = image > -1100
    np.testing.assert_array_equal(volume.values[0][inside], image[inside])
    assert (volume.values[0][~inside] == -1000).all()
