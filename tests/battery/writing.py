"""Ways in which the battery puts a volume on disk."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.random import Generator
from pydicom.dataset import Dataset

from drrx.io.nifti import ras_from_ijk
from drrx.volume import Volume
from tests.battery.body import Body, make_body
from tests.battery.kind import Built
from tests.dicom_files import make_slices, write_slices

FORMATS = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def stack(volume: Volume, *, series: str = "1.2.3", **tags: Any) -> list[Dataset]:
    """Return the slices of a volume with the tags that scanners add; numbers short enough for DICOM's decimal text."""
    scanner = {
        "PatientPosition": "HFS", "Manufacturer": "GE MEDICAL SYSTEMS", "ManufacturerModelName": "LightSpeed",
        "KVP": 120, "SliceThickness": round(volume.spacing_mm[0], 3), "PatientName": "BATTERY^CASE", "PatientID": "1",
        "StudyDate": "20200101", "StudyTime": "100000", "SeriesNumber": int(series.split(".")[2]), "StudyID": "1",
        "SeriesDescription": "chest",
    }  # fmt: skip
    slices = make_slices(volume.values, volume.world_from_index, series=series, **(scanner | tags))
    for data in slices:
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            if name not in tags:
                setattr(data, name, [round(float(number), 6) for number in getattr(data, name)])
    return slices


def write_series(folder: Path, slices: list[Dataset], rng: Generator | None = None, name: str = "series") -> Path:
    """Write slices into ``folder / name``; with ``rng`` in a shuffled order of file names."""
    order = range(len(slices)) if rng is None else rng.permutation(len(slices))
    return write_slices(folder / name, slices, [f"{index:03d}.dcm" for index in order])


def build_series(folder: Path, body: Body, slices: list[Dataset], rng: Generator | None = None) -> Built:
    """Write slices whose truth is the body's own volume."""
    return Built(write_series(folder, slices, rng), body.volume, body.markers_mm)


def make_image(volume: Volume) -> sitk.Image:
    """Return a SimpleITK image of the same values at the same place."""
    image = sitk.GetImageFromArray(volume.values)
    spacing = np.array(volume.spacing_mm)
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(volume.world_from_index[:3, 3].tolist())
    image.SetDirection((volume.world_from_index[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    return image


def write_image(path: Path, volume: Volume, *, compress: bool = False) -> Path:
    """Write any file format by SimpleITK."""
    sitk.WriteImage(make_image(volume), str(path), compress)
    return path


def make_nifti(volume: Volume, values: Any = None, kind: Any = nib.Nifti1Image) -> Any:
    """Return a nibabel image (units mm, sform and qform set); ``values`` replaces the voxels, in file order."""
    affine = ras_from_ijk(volume)
    image = kind(np.ascontiguousarray(volume.values.T) if values is None else values, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    return image


def save_nifti(path: Path, image: Any) -> Path:
    """Save a nibabel image."""
    nib.save(image, path)
    return path


def write_any(folder: Path, body: Body, rng: Generator, suffixes: tuple[str, ...] = FORMATS) -> Path:
    """Write the body in a format that is drawn."""
    return write_image(folder / f"ct{rng.choice(suffixes)}", body.volume)


def build_file(folder: Path, rng: Generator, change: Any, suffixes: tuple[str, ...] = FORMATS) -> Built:
    """Write a body whose HU went through ``change`` (float32 in and out) in a format that is drawn; no truth."""
    body = make_body(rng)
    changed = body.volume.with_values(np.asarray(change(body.volume.values.astype(np.float32)), dtype=np.float32))
    return Built(write_image(folder / f"ct{rng.choice(suffixes)}", changed))
