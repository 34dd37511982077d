"""Volumes, tables and pictures from outside: what fits is read in mm, all else is refused by name, without waiting."""

import contextlib
import errno
import gzip
import io
import json
import os
import socket
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from drrx.errors import CaseRefused, DrrxError
from drrx.io.cohort import read_cohort
from drrx.io.ct import read_ct
from drrx.io.film import read_film
from drrx.io.image import read_image
from drrx.io.marks import read_marks
from drrx.io.mask import read_mask
from drrx.io.metaimage import read_metaimage
from drrx.io.nifti import read_volume, write_volume
from drrx.io.nifti_ct import read_nifti
from drrx.io.nodule_library_index import read_ids
from drrx.io.nrrd import read_nrrd
from drrx.io.settings import ReadCtSettings
from drrx.volume import Volume

SETTINGS = ReadCtSettings(min_num_slices=2, min_length_mm=0)
SHAPE = (4, 5, 6)
SECRET = "CANARY^PATIENT"


@pytest.fixture
def ct():
    values = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    return Volume.from_spacing(values, (2.5, 0.75, 0.5), (-10.0, -20.0, -300.0))


def refuse(read, path, settings=SETTINGS):
    with pytest.raises(CaseRefused) as caught:
        read(path, settings)
    assert SECRET not in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    return caught.value.code


def assert_same(reading, ct):
    np.testing.assert_array_equal(reading.volume.values, ct.values)
    np.testing.assert_allclose(reading.volume.world_from_index, ct.world_from_index, atol=1e-4)


# ---- NIfTI


def edit_nifti(path, ct, *edits):
    """Write ``ct`` and change its header: ``(offset, struct format, values...)``."""
    write_volume(path, ct)
    data = bytearray(path.read_bytes())
    for offset, form, *values in edits:
        struct.pack_into("<" + form, data, offset, *values)
    path.write_bytes(data)
    return path


NIFTI_FAULTS = {
    "dim[0] 0": ([(40, "h", 0)], "BAD_HEADER"),
    "dim[0] 8": ([(40, "h", 8)], "BAD_HEADER"),
    "dim[0] -3": ([(40, "h", -3)], "BAD_HEADER"),
    "negative size": ([(42, "h", -6)], "BAD_HEADER"),
    "freesurfer size": ([(42, "3h", -1, 1, 1)], "BAD_HEADER"),
    "zero size": ([(44, "h", 0)], "BAD_HEADER"),
    "two axes": ([(40, "h", 2)], "NOT_3D"),
    "huge sizes": ([(42, "3h", 32767, 32767, 32767)], "TOO_LARGE"),
    "product beyond 64 bits": ([(40, "8h", 7, *[32767] * 7)], "NOT_3D"),
    "sizes beyond the file": ([(42, "3h", 900, 900, 900)], "CORRUPT_FILE"),
    "other type, same length": ([(70, "h", 512)], None),
    "unknown type": ([(70, "h", 999)], "BAD_HEADER"),
    "no type": ([(70, "h", 0)], "BAD_HEADER"),
    "one bit": ([(70, "2h", 1, 1)], "NOT_3D"),
    "complex": ([(70, "2h", 32, 64)], "NOT_3D"),
    "long double": ([(70, "2h", 1536, 128)], "BAD_HEADER"),
    "bitpix 8 for int16": ([(72, "h", 8)], "BAD_HEADER"),
    "bitpix unset": ([(72, "h", 0)], None),
    "spacing 0": ([(80, "f", 0.0)], "BAD_HEADER"),
    "spacing negative": ([(84, "f", -1.0)], "BAD_HEADER"),
    "spacing NaN": ([(88, "f", np.nan)], "BAD_HEADER"),
    "qfac 0 is 1": ([(76, "f", 0.0), (254, "h", 0), (256, "6f", 0, 0, 1, 10, 20, -300)], None),
    "qfac 3": ([(76, "f", 3.0)], "BAD_HEADER"),
    "quaternion longer than 1": ([(256, "3f", 1, 1, 1)], "BAD_HEADER"),
    "quaternion NaN": ([(256, "f", np.nan)], "BAD_HEADER"),
    "offset NaN": ([(108, "f", np.nan)], "BAD_HEADER"),
    "offset infinite": ([(108, "f", np.inf)], "BAD_HEADER"),
    "offset negative": ([(108, "f", -352.0)], "BAD_HEADER"),
    "offset 0": ([(108, "f", 0.0)], "BAD_HEADER"),
    "offset in the header": ([(108, "f", 348.0)], "BAD_HEADER"),
    "offset of half a byte": ([(108, "f", 352.5)], "BAD_HEADER"),
    "offset beyond the file": ([(108, "f", 1e6)], "CORRUPT_FILE"),
    "offset of a terabyte": ([(108, "f", 2.0**40)], "CORRUPT_FILE"),
    "slope NaN, offset too": ([(112, "2f", np.nan, np.nan)], None),
    "slope NaN, an offset": ([(112, "2f", np.nan, -1024)], "BAD_RESCALE"),
    "slope infinite": ([(112, "2f", np.inf, 0)], "BAD_RESCALE"),
    "slope 1e30": ([(112, "2f", 1e30, 0)], "BAD_RESCALE"),
    "slope 11": ([(112, "2f", 11, 0)], "BAD_RESCALE"),
    "offset of values NaN": ([(112, "2f", 1, np.nan)], "BAD_RESCALE"),
    "no orientation": ([(252, "2h", 0, 0)], "NO_ORIENTATION"),
    "sform NaN": ([(252, "2h", 0, 1), (280, "f", np.nan)], "BAD_HEADER"),
    "sform flat": ([(252, "2h", 0, 1), (280, "4f", 0, 0, 0, 0)], "BAD_HEADER"),
    "sform alone, other spacing": ([(252, "2h", 0, 1), (80, "f", 0.6)], "NIFTI_TRANSFORM"),
    "sform NaN, qform not": ([(280, "f", np.nan)], "NIFTI_TRANSFORM"),
    "pair of files": ([(344, "4s", b"ni1\0")], "BAD_HEADER"),
    "magic of NIfTI-2": ([(344, "4s", b"n+2\0")], "BAD_HEADER"),
    "no magic": ([(344, "4s", b"\0\0\0\0")], "BAD_HEADER"),
    "another header size": ([(0, "i", 347)], "BAD_HEADER"),
    "swapped header size": ([(0, "i", 0x5C010000)], "BAD_HEADER"),
}


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize(("edits", "code"), NIFTI_FAULTS.values(), ids=NIFTI_FAULTS)
def test_nifti_headers_are_read_or_refused_field_by_field(tmp_path, ct, edits, code, name):
    path = edit_nifti(tmp_path / "ct.nii", ct, *edits)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
        path = path.rename(tmp_path / name)
    if code is None:
        reading = read_nifti(path, SETTINGS)
        np.testing.assert_array_equal(reading.volume.values.astype(np.int16), ct.values)
        np.testing.assert_allclose(reading.volume.spacing_mm, ct.spacing_mm, rtol=1e-6)
    else:
        assert refuse(read_nifti, path) == code
    with contextlib.suppress(DrrxError):  # files that drrx itself writes are not looked at as closely
        read_volume(path)


@pytest.mark.parametrize(
    ("code", "factor", "told"), [(1, 1e3, "metres"), (3, 1e-3, "micrometres"), (2, 1, ""), (0, 1, ""), (5, 1, "")]
)
def test_nifti_lengths_come_in_mm(tmp_path, ct, code, factor, told):
    affine = ct.world_from_index.copy()
    affine[:3] /= factor
    path = tmp_path / "ct.nii.gz"
    image = make_nibabel(ct.values, affine)
    image.header["xyzt_units"] = code | 8  # time in seconds
    image.to_filename(path)
    reading = read_nifti(path, SETTINGS)
    assert_same(reading, ct)
    assert [item.code for item in reading.corrections] == (["UNITS_CONVERTED"] if told else [])
    assert all(told in item.text for item in reading.corrections)


def make_nibabel(values, world_from_index, kind="1", endianness="<", dtype="i2"):
    import nibabel as nib

    reverse = np.eye(4)[[2, 1, 0, 3]]
    affine = np.diag([-1.0, -1, 1, 1]) @ world_from_index @ reverse
    image, header = {"1": (nib.Nifti1Image, nib.Nifti1Header), "2": (nib.Nifti2Image, nib.Nifti2Header)}[kind]
    made = header(endianness=endianness)
    made.set_data_dtype(np.dtype(endianness + dtype))
    result = image(values.T.astype(endianness + dtype), affine, made)
    result.set_qform(affine, 1)
    result.set_sform(affine, 1)
    return result


@pytest.mark.parametrize("kind", ["1", "2"])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "f4", "f8"])
def test_both_versions_byte_orders_and_all_types_give_the_same_ct(tmp_path, ct, kind, endianness, dtype):
    path = tmp_path / "ct.nii"
    make_nibabel(ct.values, ct.world_from_index, kind, endianness, dtype).to_filename(path)
    reading = read_nifti(path, SETTINGS)
    assert_same(reading, ct)
    assert reading.volume.values.dtype.itemsize <= 4, "64-bit voxels are not kept"


def test_nifti_extensions_are_read_over(tmp_path, ct):
    import nibabel as nib

    image = make_nibabel(ct.values, ct.world_from_index)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET.encode()))
    image.header["descrip"] = SECRET.encode()
    image.to_filename(tmp_path / "ct.nii.gz")
    reading = read_nifti(tmp_path / "ct.nii.gz", SETTINGS)
    assert_same(reading, ct)
    assert SECRET not in json.dumps([reading.source, reading.flags, reading.corrections])


def test_the_bytes_tell_gzip_not_the_name(tmp_path, ct):
    write_volume(tmp_path / "a.nii", ct)
    plain = (tmp_path / "a.nii").read_bytes()
    half = len(plain) // 2
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    (tmp_path / "members.nii.gz").write_bytes(gzip.compress(plain[:half]) + gzip.compress(plain[half:]))
    for name in ("plain.nii.gz", "packed.nii", "members.nii.gz"):
        assert_same(read_nifti(tmp_path / name, SETTINGS), ct)


@pytest.mark.parametrize("tail", [b"x", b"more than ten bytes of junk", gzip.compress(b"x"), b"\x1f\x8b\x08"])
def test_nothing_may_follow_the_voxels(tmp_path, ct, tail):
    path = tmp_path / "ct.nii.gz"
    write_volume(path, ct)
    with path.open("ab") as stream:
        stream.write(tail)
    assert refuse(read_nifti, path) == "CORRUPT_FILE"


# ---- no plain file


READERS = {"ct.nii.gz": read_nifti, "ct.mha": read_metaimage, "ct.mhd": read_metaimage, "ct.nrrd": read_nrrd}


@pytest.mark.parametrize("name", READERS)
def test_pipes_devices_folders_and_absent_files_are_refused_at_once(tmp_path, name):
    read, path = READERS[name], tmp_path / name
    assert refuse(read, path) == "FILE_MISSING"
    os.mkfifo(path)
    timer = threading.Timer(5, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    timer.start()  # frees a reader that waits: the test then fails by its code and does not hang
    assert refuse(read, path) == "FILE_UNREADABLE"
    timer.cancel()
    path.unlink()
    path.mkdir()
    assert refuse(read, path) == "FILE_UNREADABLE"
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert refuse(read, path) == "FILE_UNREADABLE"
    path.unlink()
    path.symlink_to(path.name)
    assert refuse(read, path) == "FILE_UNREADABLE"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))
        assert refuse(read, path) == "FILE_UNREADABLE"
    path.unlink()
    path.write_bytes(b"")
    assert refuse(read, path) in ("CORRUPT_FILE", "BAD_HEADER")


@pytest.mark.parametrize("name", ["ct.zip", "ct.tar", "ct.tar.gz", "ct.tgz"])
def test_archives_are_no_pipes(tmp_path, name):
    os.mkfifo(tmp_path / name)
    timer = threading.Timer(5, lambda: os.close(os.open(tmp_path / name, os.O_WRONLY | os.O_NONBLOCK)))
    timer.start()
    with pytest.raises(CaseRefused) as caught:
        read_ct(tmp_path / name, SETTINGS)
    timer.cancel()
    assert caught.value.code == "FILE_UNREADABLE"


@pytest.mark.parametrize(
    "damage", [lambda data: data.replace(b"ct.nii", b"\0t.nii"), lambda data: data[:40] + data[-22:]]
)
def test_archives_with_odd_directories_are_refused(tmp_path, ct, damage):
    """Names without a letter, and a .zip that points before its own beginning: both came out as other errors once."""
    write_volume(tmp_path / "ct.nii", ct)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(tmp_path / "ct.nii", "ct.nii")
    (tmp_path / "ct.zip").write_bytes(damage(packed.getvalue()))
    with pytest.raises(CaseRefused) as caught:
        read_ct(tmp_path / "ct.zip", SETTINGS)
    assert caught.value.code in ("CORRUPT_FILE", "ARCHIVE_UNSAFE")


def test_faults_of_the_machine_are_no_fault_of_the_file(tmp_path, ct, monkeypatch):
    path = tmp_path / "ct.nii.gz"
    write_volume(path, ct)
    write_table(tmp_path / "t.csv", "case,path,cohort\na,x,B\n")

    def fail(number):
        def open_badly(*_):
            raise OSError(number, os.strerror(number), str(path))

        return open_badly

    for number in (errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE, errno.ENOSPC):
        monkeypatch.setattr(os, "open", fail(number))
        with pytest.raises(OSError, match=os.strerror(number)):  # the case fails, and is done again next time
            read_nifti(path, SETTINGS)
        with pytest.raises(DrrxError, match=os.strerror(number)) as caught:
            read_cohort(tmp_path / "t.csv")
        assert str(tmp_path) not in str(caught.value)
    for number in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO):
        monkeypatch.setattr(os, "open", fail(number))
        assert refuse(read_nifti, path) == "FILE_UNREADABLE"


def test_a_radiograph_that_is_gone_is_an_error_and_no_refusal_of_its_case(tmp_path):
    for read in (read_image, read_film):
        for name in ("none.png", "none.dcm"):
            with pytest.raises(DrrxError, match="no such file") as caught:
                read(tmp_path / name)
            assert not isinstance(caught.value, CaseRefused)


# ---- bombs


def pack_zeros(path, header, num_bytes):
    with gzip.open(path, "wb") as stream:
        stream.write(header)
        for _ in range(num_bytes >> 20):
            stream.write(bytes(1 << 20))
    return path


def test_bombs_take_no_memory(tmp_path, ct):
    header = edit_nifti(tmp_path / "h.nii", ct, (42, "3h", 512, 512, 512)).read_bytes()[:352]
    bomb = pack_zeros(tmp_path / "bomb.nii.gz", header, 1 << 28)
    skip = edit_nifti(tmp_path / "h.nii", ct, (108, "f", float(1 << 27))).read_bytes()[:352]
    hidden = pack_zeros(tmp_path / "skip.nii.gz", skip, 1 << 27)
    small = gzip.compress(header)
    tracemalloc.start()
    assert refuse(read_nifti, bomb) == "TOO_LARGE"
    assert refuse(read_nifti, hidden) == "CORRUPT_FILE"
    (tmp_path / "claim.nii.gz").write_bytes(small)
    assert refuse(read_nifti, tmp_path / "claim.nii.gz") == "CORRUPT_FILE"
    (tmp_path / "claim.nii").write_bytes(header + bytes(1000))
    assert refuse(read_nifti, tmp_path / "claim.nii") == "CORRUPT_FILE"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26


def test_what_is_packed_far_is_read_where_it_is_asked_for(tmp_path, ct):
    like = Volume.from_spacing(np.zeros((160, 500, 500), np.int16), (1.0, 1.0, 1.0))
    mask = np.zeros(like.shape, np.uint8)
    mask[2:5, 5:9, 5:9] = 1
    image = make_nibabel(mask.astype(np.int16), like.world_from_index)
    image.to_filename(tmp_path / "mask.nii.gz")
    assert refuse(read_nifti, tmp_path / "mask.nii.gz") == "TOO_LARGE"
    assert read_nifti(tmp_path / "mask.nii.gz", replace(SETTINGS, max_compression=1032)).volume.shape == like.shape
    part = Volume.from_spacing(np.zeros((10, 20, 20), np.int16), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", part), mask[:10, :20, :20] > 0)


def test_doubles_take_four_bytes_a_voxel_and_no_more(tmp_path):
    values = np.random.default_rng(0).normal(0, 300, (128, 256, 256))
    make_nibabel(values, np.eye(4)[[2, 1, 0, 3]], dtype="f8").to_filename(tmp_path / "ct.nii")
    tracemalloc.start()
    reading = read_nifti(tmp_path / "ct.nii", SETTINGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(reading.volume.values, values.astype(np.float32))
    assert peak < 4 * values.size + (1 << 25)


# ---- MetaImage and NRRD: text headers


def write_mha(path, ct, packed=False):
    image = sitk.GetImageFromArray(ct.values)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin(ct.world_from_index[:3, 3].tolist())
    sitk.WriteImage(image, str(path), packed)
    return path


def edit_text(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return path


META_FAULTS = {
    "another object": (b"ObjectType = Image", b"ObjectType = Tube", "BAD_HEADER"),
    "a comment": (b"NDims = 3", b"Comment = CANARY^PATIENT\nNDims = 3", None),
    "a comment with a field in it": (b"NDims = 3", b"Comment = x\nDimSize = 2 2 2\nNDims = 3", "BAD_HEADER"),
    "a field twice by another name": (b"NDims = 3", b"Origin = 0 0 0\nNDims = 3", "BAD_HEADER"),
    "a line that is none": (b"NDims = 3", b"CANARY^PATIENT\nNDims = 3", "BAD_HEADER"),
    "NDims that differ": (b"NDims = 3", b"NDims = 2", "BAD_HEADER"),
    "NDims of letters": (b"NDims = 3", b"NDims = CANARY^PATIENT", "BAD_HEADER"),
    "sizes of 5000 digits": (b"DimSize = 6 5 4", b"DimSize = 6 5 " + b"4" * 5000, "BAD_HEADER"),
    "sizes negative": (b"DimSize = 6 5 4", b"DimSize = -6 5 4", "NOT_3D"),
    "sizes NaN": (b"DimSize = 6 5 4", b"DimSize = nan 5 4", "BAD_HEADER"),
    "sizes with fractions": (b"DimSize = 6 5 4", b"DimSize = 6.5 5 4", "BAD_HEADER"),
    "sizes of 64 bits": (b"DimSize = 6 5 4", b"DimSize = 4294967296 4294967296 4", "TOO_LARGE"),
    "sizes of the file and more": (b"DimSize = 6 5 4", b"DimSize = 900 900 900", "CORRUPT_FILE"),
    "a thousand axes": (b"DimSize = 6 5 4", b"DimSize = 6 5 4" + b" 1" * 1000, "BAD_HEADER"),
    "two channels": (b"NDims = 3", b"ElementNumberOfChannels = 2\nNDims = 3", "NOT_3D"),
    "spacing NaN": (b"ElementSpacing = 0.5", b"ElementSpacing = nan", "BAD_HEADER"),
    "spacing negative": (b"ElementSpacing = 0.5", b"ElementSpacing = -0.5", "BAD_SPACING"),
    "spacing 0": (b"ElementSpacing = 0.5", b"ElementSpacing = 0", "BAD_SPACING"),
    "spacing of two": (b"ElementSpacing = 0.5 ", b"ElementSpacing = ", "BAD_HEADER"),
    "spacing with a grouped number": (b"ElementSpacing = 0.5", b"ElementSpacing = 0_5", "BAD_HEADER"),
    "no spacing": (b"ElementSpacing", b"Comment", "BAD_SPACING"),
    "size for spacing": (b"ElementSpacing", b"ElementSize", None),
    "size beside spacing": (b"ElementDataFile", b"ElementSize = 9 9 9\nElementDataFile", None),
    "matrix of zeros": (b"TransformMatrix = 1 0 0", b"TransformMatrix = 0 0 0", "BAD_HEADER"),
    "matrix that scales": (b"TransformMatrix = 1 0 0", b"TransformMatrix = 2 0 0", "BAD_HEADER"),
    "matrix without rank": (b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 1 0 0", "BAD_HEADER"),
    "matrix of eight": (b"TransformMatrix = 1 ", b"TransformMatrix = ", "BAD_HEADER"),
    "offset infinite": (b"Offset = -10", b"Offset = inf", "BAD_HEADER"),
    "offset with a comma": (b"Offset = -10 -20 ", b"Offset = -10 -20 ,", "BAD_HEADER"),
    "offset in parentheses": (b"Offset = -10", b"Offset = (-10", "BAD_HEADER"),
    "an unknown type": (b"MET_SHORT", b"CANARY^PATIENT", "BAD_HEADER"),
    "a type of other length": (b"MET_SHORT", b"MET_FLOAT", "CORRUPT_FILE"),
    "text for voxels": (b"BinaryData = True", b"BinaryData = False", "BAD_HEADER"),
    "a byte order that is none": (b"BinaryDataByteOrderMSB = False", b"BinaryDataByteOrderMSB = x", "BAD_HEADER"),
    "packed, it says": (b"CompressedData = False", b"CompressedData = True", "CORRUPT_FILE"),
    "no center": (b"CenterOfRotation = 0 0 0\n", b"", None),
    "a list of files": (b"ElementDataFile = LOCAL", b"ElementDataFile = LIST", "BAD_HEADER"),
    "a pattern of files": (b"ElementDataFile = LOCAL", b"ElementDataFile = %03d.raw 1 9 1", "BAD_HEADER"),
    "no data file": (b"ElementDataFile = LOCAL", b"Comment = LOCAL", "BAD_HEADER"),
    "itself as data file": (b"ElementDataFile = LOCAL", b"ElementDataFile = ct.mha", "BAD_HEADER"),
    "NUL in the data file": (b"ElementDataFile = LOCAL", b"ElementDataFile = a\0b", "BAD_HEADER"),
    "a data file of 300 letters": (b"ElementDataFile = LOCAL", b"ElementDataFile = " + b"a" * 300, "BAD_HEADER"),
    "a data file that is not there": (b"ElementDataFile = LOCAL", b"ElementDataFile = CANARY^PATIENT", "CORRUPT_FILE"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code"), META_FAULTS.values(), ids=META_FAULTS)
def test_metaimage_headers_are_read_or_refused_field_by_field(tmp_path, ct, old, new, code):
    path = edit_text(write_mha(tmp_path / "ct.mha", ct), old, new)
    if code is None:
        reading = read_metaimage(path, SETTINGS)
        assert_same(reading, ct)
        assert SECRET not in json.dumps([reading.source, reading.flags, reading.corrections])
    else:
        assert refuse(read_metaimage, path) == code


def test_metaimage_is_read_by_its_matrix_and_another_word_is_flagged(tmp_path, ct):
    path = write_mha(tmp_path / "ct.mha", ct)
    assert read_metaimage(path, SETTINGS).flags == []
    edit_text(path, b"AnatomicalOrientation = RAI", b"AnatomicalOrientation = LPI")
    reading = read_metaimage(path, SETTINGS)
    assert reading.flags == ["ORIENTATION_CONFLICT"]
    assert_same(reading, ct)
    edit_text(path, b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = -1 0 0 0 -1 0")
    assert read_metaimage(path, SETTINGS).flags == []


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"CompressedDataSize = ", b"CompressedDataSize = 1"), (b"CompressedDataSize = ", b"CompressedDataSize = -")],
)
def test_packed_metaimage_must_have_the_length_it_tells(tmp_path, ct, old, new):
    path = write_mha(tmp_path / "ct.mha", ct, packed=True)
    assert_same(read_metaimage(path, SETTINGS), ct)
    assert refuse(read_metaimage, edit_text(path, old, new)) == "CORRUPT_FILE"


def test_data_files_may_have_foreign_headers_but_must_lie_beside(tmp_path, ct):
    (tmp_path / "in").mkdir()
    path, raw = write_mha(tmp_path / "in" / "ct.mhd", ct), tmp_path / "in" / "ct.raw"
    text = path.read_bytes()
    assert read_metaimage(path, SETTINGS).data_file == raw
    raw.write_bytes(b"7 bytes" + raw.read_bytes())
    assert refuse(read_metaimage, path) == "CORRUPT_FILE"
    for skip in (7, -1):
        path.write_bytes(b"HeaderSize = %d\n" % skip + text)
        assert_same(read_metaimage(path, SETTINGS), ct)
    for skip, code in ((6, "CORRUPT_FILE"), (10**15, "CORRUPT_FILE"), (-2, "BAD_HEADER")):
        path.write_bytes(b"HeaderSize = %d\n" % skip + text)
        assert refuse(read_metaimage, path) == code
    path.write_bytes(b"HeaderSize = 7\n" + text)
    raw.rename(tmp_path / "ct.raw")
    raw.symlink_to(tmp_path / "ct.raw")
    assert refuse(read_metaimage, path) == "PATH_ESCAPE", "a link that leads out of the folder"
    raw.unlink()
    os.mkfifo(raw)
    assert refuse(read_metaimage, path) == "CORRUPT_FILE"


NRRD_FAULTS = {
    "no magic": (b"NRRD0004", b"NRRDx004", "BAD_HEADER"),
    "a key of the user": (b"endian:", b"patient:=CANARY^PATIENT\nendian:", None),
    "a comment": (b"endian:", b"# CANARY^PATIENT\nendian:", None),
    "a line that is none": (b"endian:", b"CANARY^PATIENT\nendian:", "BAD_HEADER"),
    "a field twice": (b"endian: little", b"endian: little\nendian: big", "BAD_HEADER"),
    "no byte order": (b"endian: little\n", b"", "BAD_HEADER"),
    "a byte order that is none": (b"endian: little", b"endian: CANARY^PATIENT", "BAD_HEADER"),
    "dimension that differs": (b"dimension: 3", b"dimension: 4", "BAD_HEADER"),
    "no dimension": (b"dimension: 3\n", b"", "BAD_HEADER"),
    "sizes of 5000 digits": (b"sizes: 6 5 4", b"sizes: 6 5 " + b"4" * 5000, "BAD_HEADER"),
    "sizes negative": (b"sizes: 6 5 4", b"sizes: 6 -5 4", "NOT_3D"),
    "sizes NaN": (b"sizes: 6 5 4", b"sizes: nan 5 4", "BAD_HEADER"),
    "sizes of 64 bits": (b"sizes: 6 5 4", b"sizes: 4294967296 4294967296 4", "TOO_LARGE"),
    "an unknown type": (b"type: short", b"type: CANARY^PATIENT", "BAD_HEADER"),
    "blocks": (b"type: short", b"type: block", "BAD_HEADER"),
    "no space": (b"space: left-posterior-superior", b"space dimension: 3", "NO_ORIENTATION"),
    "an unknown space": (b"space: left-posterior-superior", b"space: scanner-xyz", "NO_ORIENTATION"),
    "directions none": (b"(0.5,0,0)", b"none", "NO_ORIENTATION"),
    "directions NaN": (b"(0.5,0,0)", b"(nan,0,0)", "BAD_HEADER"),
    "directions of two numbers": (b"(0.5,0,0)", b"(0.5,0)", "BAD_HEADER"),
    "directions with more before": (b"(0.5,0,0)", b"(0.ns: (0.5,0,0)", "BAD_HEADER"),
    "directions without blanks": (b"(0.5,0,0) ", b"(0.5,0,0)", "BAD_HEADER"),
    "directions with blanks for commas": (b"(0.5,0,0)", b"(0.5 0 0)", "BAD_HEADER"),
    "origin without parentheses": (b"space origin: (-10", b"space origin: -10", "BAD_HEADER"),
    "directions flat": (b"(0.5,0,0)", b"(0,0,0)", "BAD_HEADER"),
    "two directions": (b"(0.5,0,0) ", b"", "BAD_HEADER"),
    "origin infinite": (b"space origin: (-10", b"space origin: (1e999", "BAD_HEADER"),
    "colours": (b"kinds: domain", b"kinds: RGB-color", "NOT_3D"),
    "a measurement frame": (b"endian:", b"measurement frame: (0,1,0) (1,0,0) (0,0,1)\nendian:", None),
    "mins of axes": (b"endian:", b"axis mins: 1 2 nan\nspacings: nan nan nan\nendian:", None),
    "units of mm": (b"endian:", b'space units: "mm" "" "MM"\nendian:', None),
    "units of others": (b"endian:", b'space units: "CANARY^PATIENT" "mm" "mm"\nendian:', "BAD_HEADER"),
    "two units": (b"endian:", b'space units: "mm" "mm"\nendian:', "BAD_HEADER"),
    "hexadecimal": (b"encoding: raw", b"encoding: hex", "BAD_HEADER"),
    "bzip2": (b"encoding: raw", b"encoding: bz2", "BAD_HEADER"),
    "an unknown encoding": (b"encoding: raw", b"encoding: CANARY^PATIENT", "BAD_HEADER"),
    "gzip, it says": (b"encoding: raw", b"encoding: gzip", "CORRUPT_FILE"),
    "skipped bytes": (b"endian:", b"byte skip: 1\nendian:", "BAD_HEADER"),
    "skipped lines": (b"endian:", b"lineskip: -1\nendian:", "BAD_HEADER"),
    "a list of files": (b"endian:", b"data file: LIST\nendian:", "BAD_HEADER"),
    "itself as data file": (b"endian:", b"datafile: ct.nrrd\nendian:", "BAD_HEADER"),
    "a data file elsewhere": (b"endian:", b"data file: ../CANARY^PATIENT\nendian:", "PATH_ESCAPE"),
    "an absolute data file": (b"endian:", b"data file: /etc/passwd\nendian:", "PATH_ESCAPE"),
}


@pytest.mark.parametrize(("old", "new", "code"), NRRD_FAULTS.values(), ids=NRRD_FAULTS)
def test_nrrd_headers_are_read_or_refused_field_by_field(tmp_path, ct, old, new, code):
    path = edit_text(write_mha(tmp_path / "ct.nrrd", ct), old, new)
    if code is None:
        reading = read_nrrd(path, SETTINGS)
        assert_same(reading, ct)
        assert SECRET not in json.dumps([reading.source, reading.flags, reading.corrections])
    else:
        assert refuse(read_nrrd, path) == code


def test_encodings_that_are_known_are_told_by_name(tmp_path, ct):
    path = edit_text(write_mha(tmp_path / "ct.nrrd", ct), b"encoding: raw", b"encoding: bz2")
    with pytest.raises(CaseRefused, match="found encoding bz2; needed raw or gzip"):
        read_nrrd(path, SETTINGS)


def test_nrrd_lengths_come_in_mm_and_single_axes_are_dropped(tmp_path, ct):
    path = write_mha(tmp_path / "ct.nrrd", ct)
    text = path.read_bytes()
    metres = edit_text(path, b"endian:", b'space units: "m" "mm" "mm"\nendian:')
    metres = edit_text(edit_text(metres, b"(0.5,0,0)", b"(0.0005,0,0)"), b"origin: (-10", b"origin: (-0.01")
    reading = read_nrrd(metres, SETTINGS)
    assert_same(reading, ct)
    assert [item.code for item in reading.corrections] == ["UNITS_CONVERTED"]
    path.write_bytes(text)
    edit_text(edit_text(path, b"dimension: 3", b"dimension: 4"), b"sizes: 6 5 4", b"sizes: 6 5 4 1")
    edit_text(edit_text(path, b"(0,0,2.5)", b"(0,0,2.5) none"), b"kinds: domain", b"kinds: domain domain")
    assert_same(read_nrrd(path, SETTINGS), ct)


def test_a_detached_nrrd_may_end_without_a_newline_and_ends_its_packed_voxels_with_the_file(tmp_path, ct):
    head, _, _ = write_mha(tmp_path / "ct.nrrd", ct).read_bytes().partition(b"\n\n")
    head = head.replace(b"encoding: raw", b"encoding: gzip")
    packed = gzip.compress(ct.values.tobytes())
    path, raw = tmp_path / "ct.nhdr", tmp_path / "\u00fc voxels.raw.gz"
    path.write_bytes(head + "\ndata file: \u00fc voxels.raw.gz".encode())
    raw.write_bytes(packed)
    assert_same(read_nrrd(path, SETTINGS), ct)
    for broken in (packed[:-9], packed[:-1], packed + b"x", zlib.compress(ct.values.tobytes())[:-4]):
        raw.write_bytes(broken)
        assert refuse(read_nrrd, path) == "CORRUPT_FILE"
    broken = bytearray(packed)
    broken[-5] ^= 1
    raw.write_bytes(broken)
    assert refuse(read_nrrd, path) == "CORRUPT_FILE"


@pytest.mark.parametrize("line", [b"# a comment\n", b"k%d:=v\n", b"k%d: v\n"])
def test_long_text_headers_take_no_time(tmp_path, ct, line):
    many = b"".join(line % n if b"%" in line else line for n in range(60_000))
    started = time.process_time()
    path = edit_text(write_mha(tmp_path / "ct.nrrd", ct), b"endian:", many + b"endian:")
    assert_same(read_nrrd(path, SETTINGS), ct)
    path = edit_text(
        write_mha(tmp_path / "ct.mha", ct), b"NDims", many.replace(b":", b"=").replace(b"#", b"=") + b"NDims"
    )
    with contextlib.suppress(CaseRefused):
        read_metaimage(path, SETTINGS)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.mha", "ct.nrrd"])
def test_a_bit_of_packed_voxels_never_turns_unseen(tmp_path, ct, name):
    path = tmp_path / name
    write_volume(path, ct) if name == "ct.nii.gz" else write_mha(path, ct, packed=True)
    data = path.read_bytes()
    start = {"ct.nii.gz": 0, "ct.mha": data.find(b"LOCAL\n") + 6, "ct.nrrd": data.find(b"\n\n") + 2}[name]
    num_seen = 0
    for place in range(start, len(data), 3):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        for broken in (flipped, data[:place]):
            path.write_bytes(broken)
            try:
                assert_same(READERS[name](path, SETTINGS), ct)  # such as in the time stamp of gzip
            except CaseRefused:
                num_seen += 1
    assert num_seen > (len(data) - start) // 2


# ---- tables


def write_table(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


HEAD = "case\tpath\tcohort\tnote\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + 'a\tx\tB\t"open\nb\ty\tB\t\nc\tz\tB\t\n', r"row 4: unexpected end of data"),
        (HEAD + 'a\tx\tB\t"open" too\n', r"row 2: '\t' expected after '\"'"),
        (HEAD + "a\tx\tB\t" + "x" * 200_000, r"row 2: field larger than field limit"),
        ((HEAD + "a\tx\tB\t\n").encode("utf-16"), "bytes that are not UTF-8"),
        ((HEAD + "a\tx\tB\t\n").encode("utf-16-le"), "NUL bytes"),
        (HEAD + "a\tx\0y\tB\t\n", "NUL bytes"),
        (HEAD + f"a\t{'n' * 257}\tB\t\n", r"row 2, column path: found 'nnn.* and 257 letters in all; needed names"),
        (HEAD + f"a\t{'n/' * 2500}\tB\t\n", "names of up to 255 bytes, 4095 in all"),
        (HEAD + "a\tx\tB\t\na\u0308\tx\tB\t\n\u00e4\tx\tB\t\n", "row 3, column case.*row 4, column case"),
        (HEAD + "a\tx\tB\t\nA\tx\tB\t\nb\tx\tB\t\nB\tx\tB\t\n", "row 3, column case.*1 more .* row 5, column case"),
        (HEAD + "".join(f"{n} !\tx\tB\t\n" for n in range(30)), "29 more.*and in the rows 12, 13, .*30, 31"),
        (HEAD + "a\tphantom:\u0661\tB\t\n", "a phantom is written|phantom:SEED"),
    ],
)  # fmt: skip
def test_cohort_tables_are_refused_whole_with_their_rows(tmp_path, text, told):
    with pytest.raises(DrrxError, match=told) as caught:
        read_cohort(write_table(tmp_path / "cohort.tsv", text))
    assert len(str(caught.value)) < 3000


def test_cohort_text_stays_text(tmp_path):
    text = "\ufeffcase;path;cohort;note\r\n007;~nobody-of-that-name/x;1e5;NA\r\n\r\n  ;;;\r\n"
    text += '1e5;a b$(x)`{y}\u00fc;1e5;"a;b"\r\n'
    first, second = read_cohort(write_table(tmp_path / "t.csv", text))
    assert (first.case, first.cohort, first.extra) == ("007", "1e5", {"note": "NA"})
    assert first.path == str(tmp_path / "~nobody-of-that-name" / "x")
    assert (second.case, second.path, second.extra["note"]) == ("1e5", str(tmp_path / "a b$(x)`{y}\u00fc"), "a;b")


def test_tables_are_no_pipes(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    os.mkfifo(tmp_path / "index.csv")
    like = Volume.from_spacing(np.zeros(SHAPE, np.int16), (1.0, 1.0, 1.0))
    for read in (read_cohort, lambda path: read_marks(path, like, None), lambda path: read_ids(path.parent)):
        with pytest.raises(DrrxError, match="pipe or device"):
            read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,1,1,nan", "line 2: 1, 1, 1, no number"),
        ("1,1,1_0,5", "line 2: 1, 1, no number, 5"),
        ("1,1,1,-5", "line 2: 1, 1, 1, -5; needed .* above 0"),
        ("1,1,1,1e9", "above 0 to 150 mm"),
        ("1,1,1e999,5", "line 2"),
        ("1,1,CANARY^PATIENT,5", "line 2: 1, 1, no number, 5"),
        ('1,1,1,"5', "closed quotes"),
        ("1,1,1," + "5" * 200_000, "field larger than field limit"),
        ("1e30,1,1,5", "outside the CT"),
    ],
)
def test_marks_are_numbers_on_the_ct(tmp_path, row, told):
    like = Volume.from_spacing(np.zeros(SHAPE, np.int16), (1.0, 1.0, 1.0))
    path = write_table(tmp_path / "t.csv", f"coordX,coordY,coordZ,diameter_mm\n{row}\n")
    with pytest.raises(CaseRefused, match=told) as caught:
        read_marks(path, like, None)
    assert SECRET not in str(caught.value)


# ---- pictures


def save_picture(path, mode="L", size=(8, 8), **options):
    Image.new(mode, size).save(path, **options)
    return path


def test_pictures_are_of_one_frame_and_of_a_size_that_detectors_have(tmp_path, recwarn):
    pages = [Image.new("L", (8, 8)), Image.new("L", (8, 8))]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "huge.png").write_bytes(make_png_header(20_000, 20_000))
    (tmp_path / "cut.png").write_bytes(save_picture(tmp_path / "ok.png", size=(99, 99)).read_bytes()[:-20])
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "page.dcm").write_bytes(b"no DICOM")
    os.mkfifo(tmp_path / "pipe.png")
    save_picture(tmp_path / "other.png", format="GIF")
    for name in ("two.tif", "huge.png", "cut.png", "page.png", "pipe.png", "other.png", "none.png", "page.dcm"):
        for read in (read_image, read_film):
            with pytest.raises(DrrxError):
                print(name, read(tmp_path / name))
    assert read_image(tmp_path / "ok.png").shape == read_film(tmp_path / "ok.png").values.shape == (99, 99)
    assert [str(item.message) for item in recwarn] == []


def make_png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
