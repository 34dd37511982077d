"""A library of real nodules: a folder with ``index.csv`` and, per nodule, a patch of CT and its mask."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from drrx.errors import CaseRefused, DrrxError
from drrx.io.canonical import orient
from drrx.io.ct import read_volume_file
from drrx.io.files import sha256_file
from drrx.io.nifti import is_canonical
from drrx.io.nodule_library_index import find_files, read_ids
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import ANY_COMPRESSION
from drrx.records.nodule_library import LibraryPatch
from drrx.volume import Volume

SAME_PLACE_MM = 0.01
HINT = "Mend the file, or take its line out of index.csv."


def read_library(folder: Path | str) -> tuple[LibraryPatch, ...]:
    """Read every nodule that ``index.csv`` names.

    Parameters
    ----------
    folder
        Holds ``index.csv`` (UTF-8, commas, a column ``id``; others are free) and for each id ``<id>.nii.gz`` (HU) and
        ``<id>_seg.nii.gz`` (mask, above 0 is nodule) on one grid, in any orientation along the body's axes.

    Returns
    -------
    tuple of LibraryPatch
        In the order of the index, on canonical axes.

    Raises
    ------
    DrrxError
        The index or a file is missing or unreadable, an id comes twice, patch and mask lie on different grids, axes are
        oblique, a voxel is no number, or the mask is empty, in several parts or touches the border.
    """
    folder = Path(folder)
    return tuple(_read_nodule(folder, name) for name in read_ids(folder))


def _read_nodule(folder: Path, name: str) -> LibraryPatch:
    patch_path, mask_path = find_files(folder, name)
    ct, marked = _read(patch_path), _read(mask_path)
    if ct.shape != marked.shape or not np.allclose(ct.world_from_index, marked.world_from_index, atol=SAME_PLACE_MM):
        raise DrrxError(
            where=mask_path.name, found=f"another grid ({marked.shape}) than that of {patch_path.name} ({ct.shape})",
            needed="patch and mask on one grid: same size, spacing and place", hint=HINT,
        )  # fmt: skip
    mask = marked.values > 0
    _check_mask(mask_path, mask)
    both = sha256_file(patch_path) + sha256_file(mask_path)
    return LibraryPatch(name, ct, mask, hashlib.sha256(both.encode()).hexdigest())


def _read(path: Path) -> Volume:
    try:
        volume = orient(read_volume_file(path, ReadCtSettings(max_compression=ANY_COMPRESSION)).volume)
    except CaseRefused as error:  # a file of the library, not of a case
        raise DrrxError(where=str(path), found=error.found, needed=error.needed, hint=HINT) from error
    if not is_canonical(volume.world_from_index):
        raise DrrxError(
            where=path.name, found="axes that lie askew in the body", needed="axes along the body's",
            hint="Resample patch and mask onto straight axes.",
        )  # fmt: skip
    if not np.isfinite(volume.values).all():
        raise DrrxError(
            where=path.name, found="voxels that are not a number", needed="a number in every voxel", hint=HINT
        )
    return volume


def _check_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    _, count = label(mask, np.ones((3, 3, 3)))
    inner = mask[1:-1, 1:-1, 1:-1]
    problem = {0: "an empty mask", 1: None}.get(count, f"{count} separate parts")
    if problem is None and inner.sum() < mask.sum():
        problem = "a mask that touches the border of its patch"
    if problem is not None:
        raise DrrxError(
            where=path.name, found=problem, needed="one nodule in one piece, with lung around it on every side",
            hint=HINT,
        )  # fmt: skip
