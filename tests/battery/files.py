"""Files that are cut or damaged, and text headers that lie (rows 42, 44 and 45)."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator

from drrx.volume import Volume
from tests.battery.body import make_body
from tests.battery.geometry import make_sheared
from tests.battery.kind import Built, Group
from tests.battery.writing import FORMATS, write_any, write_image

GROUP = Group("file")


# ---- cut and damaged


def _find_data(path: Path) -> Path:
    return next((file for file in path.parent.iterdir() if file.suffix in (".raw", ".zraw")), path)


def _build_cut(folder: Path, rng: Generator, suffix: str, compress: bool) -> Built:
    path = write_image(folder / f"ct{suffix}", make_body(rng).volume, compress=compress)
    data = _find_data(path)
    whole = data.read_bytes()
    lost = int(rng.choice([1, 7, 100, len(whole) // 2, len(whole) // 4]))
    data.write_bytes(whole[:-lost])
    return Built(path)


for suffix, compress in ((".nii", False), (".nii.gz", True), (".mha", True), (".mhd", False), (".nrrd", True)):
    GROUP.add(f"cut-{suffix[1:].replace('.', '-')}", 42,
              f"a cut {suffix}{', compressed' if compress and suffix != '.nii.gz' else ''}",
              lambda folder, rng, how=(suffix, compress): _build_cut(folder, rng, *how),
              codes="CORRUPT_FILE")  # fmt: skip


@GROUP.kind("bit-flipped", 42, "one flipped bit in a compressed file", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    path = write_image(folder / f"ct{rng.choice(['.nii.gz', '.mha', '.nrrd'])}", make_body(rng).volume, compress=True)
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data) // 3, len(data)))  # behind any header, up to the checksum
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return Built(path)


@GROUP.kind("file-empty", 42, "an empty file", codes=("CORRUPT_FILE", "BAD_HEADER"))
def _(folder: Path, rng: Generator) -> Built:
    path = folder / f"ct{rng.choice(FORMATS)}"
    path.write_bytes(b"")
    return Built(path)


@GROUP.kind("file-noise", 42, "noise called .nii, .mha or .nrrd", codes=("BAD_HEADER", "CORRUPT_FILE"))
def _(folder: Path, rng: Generator) -> Built:
    path = folder / f"ct{rng.choice(FORMATS)}"
    path.write_bytes(rng.bytes(int(rng.integers(400, 9000))))
    return Built(path)


# ---- headers beside their data


def change_header(path: Path, change: Callable[[str], str]) -> Path:
    """Change the text header of a MetaImage or NRRD; the voxels behind it stay."""
    data = path.read_bytes()
    mark = b"ElementDataFile" if path.suffix in (".mha", ".mhd") else b"\n\n"
    end = data.find(mark)
    end = len(data) if end < 0 else end if mark == b"\n\n" else data.index(b"\n", end) + 1
    path.write_bytes(change(data[:end].decode()).encode() + data[end:])
    return path


def _build_escape(folder: Path, rng: Generator, suffix: str) -> Built:
    """The voxels lie above the header's folder."""
    (folder / "in").mkdir()
    body = make_body(rng)
    path = write_image(folder / "in" / f"ct{suffix}", body.volume)
    data = next(file for file in path.parent.iterdir() if file != path)
    outside = folder / f"ct{data.suffix}"
    data.rename(outside)
    names = [f"../{outside.name}", str(outside), f"x/../../{outside.name}"]
    name = names[rng.integers(len(names))]
    change_header(path, lambda text: text.replace(data.name, name))
    return Built(path, body.volume, body.markers_mm)


GROUP.add("mhd-escape", 44, "an .mhd that names a file outside its folder",
          lambda folder, rng: _build_escape(folder, rng, ".mhd"), codes="PATH_ESCAPE")  # fmt: skip
GROUP.add("nhdr-escape", 44, "an .nhdr that names a file outside its folder",
          lambda folder, rng: _build_escape(folder, rng, ".nhdr"), codes="PATH_ESCAPE")  # fmt: skip


@GROUP.kind("data-file-missing", 44, "a header whose data file is not there", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    path = write_image(folder / f"ct{rng.choice(['.mhd', '.nhdr'])}", make_body(rng).volume)
    next(file for file in folder.iterdir() if file != path).unlink()
    return Built(path)


@GROUP.kind("raw-too-long", 45, "more voxels than the header declares", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    path = write_any(folder, body, rng, (".mhd", ".nii", ".nii.gz", ".nrrd"))
    data = _find_data(path)
    extra = bytes(int(rng.choice([1, 2, 512, 10000])))
    if path.name.endswith(".gz"):
        data.write_bytes(gzip.compress(gzip.decompress(data.read_bytes()) + extra, mtime=0))
    elif path.suffix == ".nrrd":
        change_header(path, lambda text: text.replace("encoding: gzip", "encoding: raw"))
        data.write_bytes(data.read_bytes() + extra)
    else:
        data.write_bytes(data.read_bytes() + extra)
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("no-element-spacing", 45, "a MetaImage without ElementSpacing", codes="BAD_SPACING")
def _(folder: Path, rng: Generator) -> Built:
    path = write_any(folder, make_body(rng), rng, (".mha", ".mhd"))
    return Built(change_header(path, lambda text: re.sub(r"ElementSpacing.*\n", "", text)))


@GROUP.kind("sheared-text-header", 45, "a MetaImage or NRRD of sheared axes", corrections="TILT_CORRECTED",
            exact=False)  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body, tilted = make_sheared(rng, 3, 20)
    straight = Volume.from_spacing(tilted.values, (1.0, 1.0, 1.0))  # its header is replaced below
    path = write_image(folder / f"ct{rng.choice(['.mha', '.mhd', '.nrrd'])}", straight)
    affine = tilted.world_from_index
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    columns = affine[:3, :3][:, ::-1]  # the file's axes are column, row, slice
    matrix = " ".join(f"{number:.9f}" for number in (columns / spacing[::-1]).T.ravel())
    directions = " ".join(f"({','.join(f'{number:.9f}' for number in column)})" for column in columns.T)
    origin = [f"{number:.6f}" for number in affine[:3, 3]]

    def change(text: str) -> str:
        text = re.sub(r"TransformMatrix = .*", f"TransformMatrix = {matrix}", text)
        text = re.sub(r"ElementSpacing = .*", f"ElementSpacing = {' '.join(map(str, spacing[::-1]))}", text)
        text = re.sub(r"Offset = .*", f"Offset = {' '.join(origin)}", text)
        text = re.sub(r"space directions: .*", f"space directions: {directions}", text)
        return re.sub(r"space origin: .*", f"space origin: ({','.join(origin)})", text)

    return Built(change_header(path, change), body.volume, body.markers_mm)
