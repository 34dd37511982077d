"""Far more data than a CT has (row 46)."""

import gzip
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.random import Generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.battery.archives import build_packed
from tests.battery.body import make_body
from tests.battery.kind import SMALL, Built, Group
from tests.battery.writing import make_nifti, save_nifti, stack, write_image, write_series

GROUP = Group("size")


@GROUP.kind("sizes-huge", 46, "a header of billions of voxels", codes="TOO_LARGE")
def _(folder: Path, rng: Generator) -> Built:
    if rng.random() < 0.4:
        path = save_nifti(folder / "ct.nii", make_nifti(make_body(rng).volume))
        data = bytearray(path.read_bytes())
        data[42:48] = np.array([32767] * 3, "<i2").tobytes()
        path.write_bytes(data)
        return Built(path)
    suffix = str(rng.choice([".mha", ".nrrd"]))
    path = write_image(folder / f"ct{suffix}", make_body(rng).volume)
    data = path.read_bytes()
    shape = data.split(b"DimSize = " if suffix == ".mha" else b"sizes: ")[1].split(b"\n")[0]
    path.write_bytes(data.replace(shape, b" ".join([b"%d" % rng.integers(10000, 10**9)] * 3), 1))
    return Built(path)


@GROUP.kind("dicom-sizes-huge", 46, "a DICOM file of 65 535 x 65 535 pixels", codes=("TOO_LARGE", "CORRUPT_FILE"))
def _(folder: Path, rng: Generator) -> Built:
    slices = stack(make_body(rng).volume, Rows=65535, Columns=65535)
    return Built(write_series(folder, slices, rng))


def _squeeze(head: bytes, rng: Generator, num_mb: int = 3000) -> tuple[bytes, int]:
    """Return raw deflate data of ``head`` and many MiB of zeros, and its length when inflated; made in no time."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = engine.compress(head) + engine.flush(zlib.Z_FULL_FLUSH)
    block = engine.compress(bytes(1 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)  # depends on nothing before it
    count = int(num_mb * rng.uniform(0.8, 1.2))
    return start + block * count + b"\x03\x00", len(head) + (count << 20)


@GROUP.kind("bomb-gzip", 46, "a small file that inflates to gigabytes", codes=("CORRUPT_FILE", "TOO_LARGE"))
def _(folder: Path, rng: Generator) -> Built:
    suffix = str(rng.choice([".nii.gz", ".mha", ".nrrd"]))
    body = make_body(rng)
    path = write_image(folder / f"ct{suffix}", body.volume, compress=True)
    data = path.read_bytes()
    gzip_start, gzip_end = b"\x1f\x8b\x08" + bytes(7), bytes(8)  # a reader must not get as far as the checksum
    if suffix == ".nii.gz":
        path.write_bytes(gzip_start + _squeeze(gzip.decompress(data), rng)[0] + gzip_end)
        return Built(path, body.volume, body.markers_mm)
    zeros, _ = _squeeze(b"", rng)
    if suffix == ".mha":
        end = data.index(b"\n", data.index(b"ElementDataFile")) + 1
        path.write_bytes(data[:end] + b"\x78\x01" + zeros + bytes(4))
    else:
        path.write_bytes(data[: data.index(b"\n\n") + 2] + gzip_start + zeros + gzip_end)
    return Built(path)


@GROUP.kind("bomb-deflated", 46, "a deflated DICOM file that inflates to gigabytes",
            codes=("CORRUPT_FILE", "TOO_LARGE"), settings=replace(SMALL, decode_memory_mb=512))  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    path = write_series(folder, stack(body.volume), rng)
    file = path / f"{rng.integers(17):03d}.dcm"
    data = pydicom.dcmread(file)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(file, enforce_file_format=True)
    whole = file.read_bytes()
    start = whole.index(b"\x02\x00\x00\x00UL\x04\x00") + 12
    end = start + int.from_bytes(whole[start - 4 : start], "little")
    plain = zlib.decompress(whole[end:], -15)
    # The zeros follow the pixels: group 7FE1 may hold what it likes.
    waste = b"\xe1\x7f\x10\x00LO\x08\x00BATTERY \xe1\x7f\x10\x10OB\x00\x00" + (0xF0000000).to_bytes(4, "little")
    file.write_bytes(whole[:end] + _squeeze(plain + waste, rng)[0])
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("bomb-zip", 46, "a small archive that unpacks to hundreds of MB", codes=("ARCHIVE_UNSAFE", "TOO_LARGE"))
def _(folder: Path, rng: Generator) -> Built:
    built = build_packed(folder, rng, [".zip"])
    squeezed, size = _squeeze(b"", rng, 500)  # packed 1000 : 1
    with zipfile.ZipFile(built.path, "a", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("big.dcm")
        member.compress_type, member.file_size, member.compress_size = zipfile.ZIP_DEFLATED, size, len(squeezed)
        member.CRC, member.header_offset = 0, archive.start_dir
        stream: Any = archive.fp
        stream.seek(archive.start_dir)
        stream.write(member.FileHeader(zip64=False) + squeezed)
        archive.start_dir = stream.tell()
        archive.filelist.append(member)
        archive.NameToInfo[member.filename] = member
        archive._didModify = True  # type: ignore[attr-defined]
    return Built(built.path)
