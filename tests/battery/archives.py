"""Archives (rows 40 and 47)."""

import bz2
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

from numpy.random import Generator

from tests.battery.body import make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import build_series, make_nifti, save_nifti, stack, write_image

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


def build_packed(folder: Path, rng: Generator, suffixes: list[str]) -> Built:
    """Pack a series, with or without the name of its folder."""
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    path = folder / f"packed{rng.choice(suffixes)}"
    base = folder if rng.random() < 0.5 else built.path
    return Built(_pack(path, sorted(built.path.iterdir()), base), built.truth, built.markers_mm)


GROUP.add("zip-series", 40, "a series in a .zip", lambda folder, rng: build_packed(folder, rng, [".zip"]),
          corrections="UNPACKED")  # fmt: skip
GROUP.add("tar-series", 40, "a series in a .tar, .tar.gz or .tgz",
          lambda folder, rng: build_packed(folder, rng, list(TAR_MODES)), corrections="UNPACKED")  # fmt: skip


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
    path = build_packed(folder, rng, [".zip", ".tar.gz", ".tar"]).path
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * rng.uniform(0.3, 0.8))])
    return Built(path)


# ---- archives that mean harm


def _build_zip(folder: Path, rng: Generator, name: str, link: bool = False) -> Built:
    built = build_packed(folder, rng, [".zip"])
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
    built = build_packed(folder, rng, [".tar", ".tar.gz"])
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
