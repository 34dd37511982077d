"""NIfTI files whose header is odd (rows 49, 50, 53 and 53b)."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.random import Generator

from drrx.io.nifti import ras_from_ijk
from drrx.volume import Volume
from tests.battery.body import Body, make_body
from tests.battery.files import change_header
from tests.battery.geometry import make_sheared
from tests.battery.kind import Built, Group
from tests.battery.writing import make_nifti, save_nifti, write_image

GROUP = Group("file")


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
    body, tilted = make_sheared(rng, 3, 20)
    image = make_nifti(tilted)
    image.set_qform(None, 0)
    return Built(save_nifti(folder / "ct.nii.gz", image), body.volume, body.markers_mm)


def _patch(folder: Path, rng: Generator, at: int, values: Any, dtype: str) -> Path:
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
    name, word, factor = [("meter", "m", 1e-3), ("micron", "um", 1e3)][rng.integers(2)]
    scaled = Volume(body.volume.values, np.diag([factor] * 3 + [1.0]) @ body.volume.world_from_index)
    if rng.random() < 0.7:
        image = make_nifti(scaled)
        image.header.set_xyzt_units(name)
        return Built(save_nifti(folder / "ct.nii.gz", image), body.volume, body.markers_mm)
    path = write_image(folder / "ct.nrrd", scaled)
    change_header(path, lambda text: text.replace("kinds:", f'space units: "{word}" "{word}" "{word}"\nkinds:'))
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("units-unknown", "53b", "a NIfTI without units")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    image = make_nifti(body.volume)
    image.header["xyzt_units"] = int(rng.choice([0, 8, 16]))
    return _build_nifti(folder, image, body)
