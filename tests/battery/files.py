"""NIfTI, MetaImage and NRRD files that are cut, odd or lie (rows 42, 44-46, 49, 50, 53 and 53b)."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.random import Generator

from drrx.io.nifti import ras_from_ijk
from drrx.volume import Volume
from tests.battery.body import Body, make_body
from tests.battery.geometry import _make_sheared
from tests.battery.kind import Built, Group
from tests.battery.writing import FORMATS, make_nifti, save_nifti, write_any, write_image

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


@GROUP.kind("file-empty", 42, "an empty file", codes="CORRUPT_FILE")
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


def _change_header(path: Path, change: Callable[[str], str]) -> Path:
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
    path = write_image(folder / "in" / f"ct{suffix}", make_body(rng).volume)
    data = next(file for file in path.parent.iterdir() if file != path)
    outside = folder / f"ct{data.suffix}"
    data.rename(outside)
    names = [f"../{outside.name}", str(outside), f"x/../../{outside.name}"]
    name = names[rng.integers(len(names))]
    _change_header(path, lambda text: text.replace(data.name, name))
    return Built(path)


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
    path = write_any(folder, make_body(rng), rng, (".mhd", ".nii", ".nii.gz", ".nrrd"))
    data = _find_data(path)
    extra = bytes(int(rng.choice([1, 2, 512, 10000])))
    if path.name.endswith(".gz"):
        data.write_bytes(gzip.compress(gzip.decompress(data.read_bytes()) + extra, mtime=0))
    elif path.suffix == ".nrrd":
        _change_header(path, lambda text: text.replace("encoding: gzip", "encoding: raw"))
        data.write_bytes(data.read_bytes() + extra)
    else:
        data.write_bytes(data.read_bytes() + extra)
    return Built(path)


@GROUP.kind("no-element-spacing", 45, "a MetaImage without ElementSpacing", codes="BAD_SPACING")
def _(folder: Path, rng: Generator) -> Built:
    path = write_any(folder, make_body(rng), rng, (".mha", ".mhd"))
    return Built(_change_header(path, lambda text: re.sub(r"ElementSpacing.*\n", "", text)))


@GROUP.kind("sheared-text-header", 45, "a MetaImage or NRRD of sheared axes", corrections="TILT_CORRECTED",
            exact=False)  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body, tilted = _make_sheared(rng, 3, 20)
    straight = tilted.volume if isinstance(tilted, Body) else Volume(tilted.values, body.volume.world_from_index)
    path = write_any(folder, Body(straight, body.markers_mm, body.width), rng, (".mha", ".mhd", ".nrrd"))
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

    return Built(_change_header(path, change), body.volume, body.markers_mm)


# ---- NIfTI


def _build_nifti(folder: Path, image: Any, body: Body | None = None, suffix: str = ".nii.gz") -> Built:
    path = save_nifti(folder / f"ct{suffix}", image)
    return Built(path) if body is None else Built(path, body.volume, body.markers_mm)


@GROUP.kind("nifti-4d-single", 49, "a fourth axis of length 1")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    values = body.volume.values.T.reshape(*body.volume.shape[::-1], *[1] * int(rng.integers(1, 3)))
    return _build_nifti(folder, make_nifti(body.volume, values), body)


@GROUP.kind("nifti-4d", 49, "several volumes in one file", codes="NOT_3D")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    return _build_nifti(folder, make_nifti(body.volume, np.stack([body.volume.values.T] * int(rng.integers(2, 5)), -1)))


@GROUP.kind("voxels-not-one-number", 49, "colours, complex numbers or several channels", codes="NOT_3D")
def _(folder: Path, rng: Generator) -> Built:
    import SimpleITK as sitk  # noqa: N813

    body = make_body(rng)
    sizes, case = body.volume.shape[::-1], int(rng.integers(4))
    if case == 3:
        values = np.stack([body.volume.values] * int(rng.integers(2, 4)), -1)
        path = folder / f"ct{rng.choice(['.mha', '.nrrd'])}"
        sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(path))
        return Built(path)
    colors = [(name, "u1") for name in ("R", "G", "B", "A")[: 3 + case]]
    values = np.zeros(sizes, np.complex64) if case == 2 else np.zeros(sizes, colors)
    return _build_nifti(folder, make_nifti(body.volume, values))


@GROUP.kind("voxels-double", 49, "voxels as 32- or 64-bit floats or integers")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    kind = str(rng.choice(["f4", "f8", "i4", "i8", ">f8", ">i2"]))
    header = nib.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
    header.set_xyzt_units("mm")
    values = body.volume.values.T.astype(kind)
    image = nib.Nifti1Image(values, ras_from_ijk(body.volume), header, dtype=np.dtype(kind))
    return _build_nifti(folder, image, body, str(rng.choice([".nii", ".nii.gz"])))


@GROUP.kind("nifti-two-places", 50, "sform and qform that differ", codes="NIFTI_TRANSFORM")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    image = make_nifti(body.volume)
    other = ras_from_ijk(body.volume)
    case = rng.integers(3)
    if case == 0:
        other[:3, 3] += rng.uniform(2, 20, 3)
    elif case == 1:
        other[0] *= -1
    else:
        other[:3, :3] *= rng.uniform(1.1, 2)
    image.set_qform(other, 1)
    return _build_nifti(folder, image)


@GROUP.kind("nifti-no-place", 50, "neither sform nor qform", codes="NO_ORIENTATION")
def _(folder: Path, rng: Generator) -> Built:
    image = make_nifti(make_body(rng).volume)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    return _build_nifti(folder, image)


@GROUP.kind("nifti-sheared", 50, "a sheared sform", corrections="TILT_CORRECTED", exact=False)
def _(folder: Path, rng: Generator) -> Built:
    body, tilted = _make_sheared(rng, 3, 20)
    image = make_nifti(tilted)
    image.set_qform(None, 0)
    return Built(save_nifti(folder / "ct.nii.gz", image), body.volume, body.markers_mm)


def _patch(folder: Path, rng: Generator, at: int, values: Any, dtype: str, suffix: str = ".nii") -> Path:
    path = save_nifti(folder / "ct.nii", make_nifti(make_body(rng).volume))
    data = bytearray(path.read_bytes())
    patch = np.array(values, dtype).tobytes()
    data[at : at + len(patch)] = patch
    path.write_bytes(data)
    return path


@GROUP.kind("nifti-sizes-bad", 53, "sizes of 0 or below", codes="BAD_HEADER")
def _(folder: Path, rng: Generator) -> Built:
    sizes = [[3, -20, 25, 30], [-3, 20, 25, 30], [3, 0, 25, 30], [9, 20, 25, 30], [0, 20, 25, 30]]
    return Built(_patch(folder, rng, 40, sizes[rng.integers(5)], "<i2"))


@GROUP.kind("nifti-spacing-zero", 53, "a pixdim or an sform axis of 0", codes="BAD_HEADER")
def _(folder: Path, rng: Generator) -> Built:
    image = make_nifti(make_body(rng).volume)
    affine = image.affine.copy()
    affine[:3, rng.integers(3)] = 0
    image.set_qform(None, 0)
    image.set_sform(affine, 1)
    path = save_nifti(folder / "ct.nii", image)
    if rng.random() < 0.5:  # only a qform, and a pixdim of 0
        data = bytearray(path.read_bytes())
        data[252:256] = np.array([1, 0], "<i2").tobytes()
        data[80:84] = np.array([0], "<f4").tobytes()
        path.write_bytes(data)
    return Built(path)


@GROUP.kind("name-lies", 53, "a plain NIfTI called .nii.gz, or a gzipped one called .nii")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    suffixes = (".nii", ".nii.gz") if rng.random() < 0.5 else (".nii.gz", ".nii")
    path = save_nifti(folder / f"other{suffixes[0]}", make_nifti(body.volume))
    return Built(path.rename(folder / f"ct{suffixes[1]}"), body.volume, body.markers_mm)


@GROUP.kind("units-metre", "53b", "a NIfTI or NRRD in metres or micrometres", corrections="UNITS_CONVERTED")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    name, code, word, factor = [("meter", 1, "m", 1e-3), ("micron", 3, "um", 1e3)][rng.integers(2)]
    scaled = Volume(body.volume.values, np.diag([factor] * 3 + [1.0]) @ body.volume.world_from_index)
    if rng.random() < 0.7:
        image = make_nifti(scaled)
        image.header.set_xyzt_units(name)
        return Built(save_nifti(folder / "ct.nii.gz", image), body.volume, body.markers_mm)
    path = write_image(folder / "ct.nrrd", scaled)
    _change_header(path, lambda text: text.replace("kinds:", f'space units: "{word}" "{word}" "{word}"\nkinds:'))
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("units-unknown", "53b", "a NIfTI without units")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    image = make_nifti(body.volume)
    image.header["xyzt_units"] = int(rng.choice([0, 8, 16]))
    return _build_nifti(folder, image, body)
