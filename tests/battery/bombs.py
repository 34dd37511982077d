"""Far more data than a CT has (row 46)."""

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
from numpy.random import Generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.battery.archives import build_packed
from tests.battery.body import make_body
from tests.battery.kind import Built, Group
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


@GROUP.kind("bomb-gzip", 46, "a small file that inflates to hundreds of MB", codes=("CORRUPT_FILE", "TOO_LARGE"))
def _(folder: Path, rng: Generator) -> Built:
    suffix = str(rng.choice([".nii.gz", ".mha", ".nrrd"]))
    body = make_body(rng)
    path = write_image(folder / f"ct{suffix}", body.volume, compress=True)
    size = int(rng.integers(150, 250)) << 20
    if suffix == ".nii.gz":
        head = gzip.decompress(path.read_bytes())
        path.write_bytes(_squeeze(head, size, 31))
        return Built(path, body.volume, body.markers_mm)
    data = path.read_bytes()
    end = data.index(b"\n", data.index(b"ElementDataFile")) + 1 if suffix == ".mha" else data.index(b"\n\n") + 2
    path.write_bytes(data[:end] + _squeeze(b"", size, 15 if suffix == ".mha" else 31))
    return Built(path)


def _squeeze(head: bytes, num_zeros: int, wbits: int) -> bytes:
    engine = zlib.compressobj(1, zlib.DEFLATED, wbits)
    parts = [engine.compress(head)]
    block = bytes(1 << 20)
    parts += [engine.compress(block) for _ in range(num_zeros >> 20)]
    return b"".join([*parts, engine.flush()])


@GROUP.kind("bomb-deflated", 46, "a deflated DICOM file that inflates to hundreds of MB",
            codes=("CORRUPT_FILE", "TOO_LARGE"))  # fmt: skip
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
    size = int(rng.integers(150, 250)) << 20
    waste = b"\x09\x00\x10\x00LO\x08\x00BATTERY \x09\x00\x10\x10OB\x00\x00" + size.to_bytes(4, "little")
    at = plain.index(b"\x10\x00\x10\x00PN")
    engine = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [engine.compress(plain[:at] + waste)] + [engine.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    file.write_bytes(whole[:end] + b"".join([*parts, engine.compress(plain[at:]), engine.flush()]))
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("bomb-zip", 46, "a small archive that unpacks to gigabytes", codes=("ARCHIVE_UNSAFE", "TOO_LARGE"))
def _(folder: Path, rng: Generator) -> Built:
    built = build_packed(folder, rng, [".zip"])
    size = int(rng.integers(150, 250)) << 20
    with (
        zipfile.ZipFile(built.path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("big.dcm", "w", force_zip64=True) as stream,
    ):
        for _ in range(size >> 20):
            stream.write(bytes(1 << 20))
    return Built(built.path)
