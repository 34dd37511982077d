"""Archives, bombs and links (rows 40 and 46-48)."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
from numpy.random import Generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.battery.body import make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import build_series, make_nifti, save_nifti, stack, write_image, write_series

GROUP = Group("archive")
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}


def _pack(path: Path, files: list[Path], base: Path) -> Path:
    """Pack files under their names relative to ``base``."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(base))
        return path
    mode = next(mode for suffix, mode in TAR_MODES.items() if path.name.endswith(suffix))
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for file in files:
            tar.add(file, str(file.relative_to(base)))
    return path


def _build_packed(folder: Path, rng: Generator, suffixes: list[str]) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    path = folder / f"packed{rng.choice(suffixes)}"
    base = folder if rng.random() < 0.5 else built.path
    return Built(_pack(path, sorted(built.path.iterdir()), base), built.truth, built.markers_mm)


GROUP.add("zip-series", 40, "a series in a .zip", lambda folder, rng: _build_packed(folder, rng, [".zip"]),
          corrections="UNPACKED")  # fmt: skip
GROUP.add("tar-series", 40, "a series in a .tar, .tar.gz or .tgz",
          lambda folder, rng: _build_packed(folder, rng, list(TAR_MODES)), corrections="UNPACKED")  # fmt: skip


@GROUP.kind("packed-file", 40, "one NIfTI, MHA or NRRD in a .zip or .tar.gz", corrections="UNPACKED")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    (folder / "in").mkdir()
    file = write_image(folder / "in" / f"ct{rng.choice(['.nii', '.nii.gz', '.mha', '.nrrd'])}", body.volume)
    path = _pack(folder / f"packed{rng.choice(['.zip', '.tar.gz'])}", [file], folder / "in")
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("other-container", 40, "a .bz2, .xz, .7z or .rar", codes="UNSUPPORTED_CONTAINER")
def _(folder: Path, rng: Generator) -> Built:
    data = save_nifti(folder / "ct.nii", make_nifti(make_body(rng).volume)).read_bytes()
    suffix = str(rng.choice([".nii.bz2", ".nii.xz", ".7z", ".rar"]))
    magic = {".7z": b"7z\xbc\xaf\x27\x1c", ".rar": b"Rar!\x1a\x07\x01\x00"}.get(suffix, b"")
    packed = {".nii.bz2": bz2.compress, ".nii.xz": lzma.compress}.get(suffix, lambda data: magic + data)(data)
    path = folder / f"packed{suffix}"
    path.write_bytes(packed)
    return Built(path)


@GROUP.kind("archive-cut", 40, "a cut archive", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    path = _build_packed(folder, rng, [".zip", ".tar.gz", ".tar"]).path
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * rng.uniform(0.3, 0.8))])
    return Built(path)


# ---- archives that mean harm


def _build_zip(folder: Path, rng: Generator, name: str, link: bool = False) -> Built:
    built = _build_packed(folder, rng, [".zip"])
    with zipfile.ZipFile(built.path, "a") as archive:
        info = zipfile.ZipInfo(name)
        if link:
            info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/hostname" if link else "x")
    return Built(built.path)


@GROUP.kind("zip-unsafe", 47, "a zip with .., an absolute name, a drive or a link", codes="ARCHIVE_UNSAFE")
def _(folder: Path, rng: Generator) -> Built:
    names = ["../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "..\\evil.dcm", "C:\\evil.dcm"]
    case = int(rng.integers(6))
    return _build_zip(folder, rng, names[case] if case < 5 else "link.dcm", link=case == 5)


@GROUP.kind("tar-unsafe", 47, "a tar with .., an absolute name, a link or a device", codes="ARCHIVE_UNSAFE")
def _(folder: Path, rng: Generator) -> Built:
    built = _build_packed(folder, rng, [".tar", ".tar.gz"])
    members = [
        ("../evil.dcm", tarfile.REGTYPE, ""), ("/tmp/evil.dcm", tarfile.REGTYPE, ""),
        ("link.dcm", tarfile.SYMTYPE, "/etc/hostname"), ("hard.dcm", tarfile.LNKTYPE, "../../etc/hostname"),
        ("pipe.dcm", tarfile.FIFOTYPE, ""), ("null.dcm", tarfile.CHRTYPE, ""),
    ]  # fmt: skip
    name, kind, target = members[rng.integers(len(members))]
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    with tarfile.open(built.path, "r:*") as old:
        content = [(member, old.extractfile(member).read()) for member in old]  # type: ignore[union-attr]
    mode = next(mode for suffix, mode in TAR_MODES.items() if built.path.name.endswith(suffix))
    with tarfile.open(built.path, mode) as tar:  # type: ignore[call-overload]
        for member, data in content:
            tar.addfile(member, io.BytesIO(data))
        tar.addfile(info)
    return Built(built.path)


# ---- far more data than a CT has


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
    path = write_image(folder / f"ct{suffix}", make_body(rng).volume, compress=True)
    size = int(rng.integers(200, 400)) << 20
    if suffix == ".nii.gz":
        head = gzip.decompress(path.read_bytes())
        path.write_bytes(_squeeze(head, size, 31))
        return Built(path)
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
    path = write_series(folder, stack(make_body(rng).volume), rng)
    file = path / f"{rng.integers(20):03d}.dcm"
    data = pydicom.dcmread(file)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(file, enforce_file_format=True)
    whole = file.read_bytes()
    start = whole.index(b"\x02\x00\x00\x00UL\x04\x00") + 12
    end = start + int.from_bytes(whole[start - 4 : start], "little")
    plain = zlib.decompress(whole[end:], -15)
    size = int(rng.integers(200, 400)) << 20
    waste = b"\x09\x00\x10\x00LO\x08\x00BATTERY \x09\x00\x10\x10OB\x00\x00" + size.to_bytes(4, "little")
    at = plain.index(b"\x10\x00\x10\x00PN")
    engine = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [engine.compress(plain[:at] + waste)] + [engine.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    file.write_bytes(whole[:end] + b"".join([*parts, engine.compress(plain[at:]), engine.flush()]))
    return Built(path)


@GROUP.kind("bomb-zip", 46, "a small archive that unpacks to gigabytes", codes=("ARCHIVE_UNSAFE", "TOO_LARGE"))
def _(folder: Path, rng: Generator) -> Built:
    built = _build_packed(folder, rng, [".zip"])
    size = int(rng.integers(300, 600)) << 20
    with zipfile.ZipFile(built.path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("big.dcm", "w", force_zip64=True) as stream:
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
    return Built(built.path)


# ---- links


def _build_linked(folder: Path, rng: Generator, outside: bool) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    target = folder / "elsewhere" if outside else built.path / "b"
    target.mkdir()
    for file in rng.choice(sorted(built.path.glob("*.dcm")), int(rng.integers(1, 5)), replace=False):
        moved = target / (f"{file.stem}.dcm" if outside else f"{file.stem}.bin")
        file.rename(moved)
        os.symlink(moved if outside else os.path.relpath(moved, file.parent), file)
    return built


GROUP.add("link-outside", 48, "slices that are links to files outside the case's folder",
          lambda folder, rng: _build_linked(folder, rng, True), codes="LINK_ESCAPE")  # fmt: skip


@GROUP.kind("link-folder-outside", 48, "a link to a folder outside, with more slices", codes="LINK_ESCAPE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    cut = int(rng.integers(6, 15))
    path = write_series(folder, slices[:cut])
    os.symlink(write_series(folder, slices[cut:], name="elsewhere"), path / "more")
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("link-loop", 48, "links in a circle", codes="LINK_ESCAPE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    case = int(rng.integers(3))
    if case == 0:
        os.symlink(built.path, built.path / "again")
    elif case == 1:
        os.symlink("loop.dcm", built.path / "loop.dcm")
    else:
        (built.path / "a").mkdir()
        os.symlink("..", built.path / "a" / "up")
    return built
