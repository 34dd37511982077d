"""A library of real nodules: a folder with ``index.csv`` and, per nodule, a patch of CT and its mask."""

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from drrx.errors import CaseRefused, DrrxError
from drrx.io.canonical import orient
from drrx.io.ct import read_volume_file
from drrx.io.files import sha256_file
from drrx.io.nifti import is_canonical
from drrx.io.settings import ReadCtSettings
from drrx.records.library import LibraryPatch
from drrx.volume import Volume

INDEX = "index.csv"
PATCH, MASK = "{}.nii.gz", "{}_seg.nii.gz"
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
        oblique, or the mask is empty, in several parts or touches the border.
    """
    folder = Path(folder)
    return tuple(_read_nodule(folder, name) for name in _read_ids(folder))


def sign_library(folder: Path | str) -> str:
    """Return a SHA-256 over the index and all files it names: it changes when the library does."""
    folder = Path(folder)
    files = [path for name in _read_ids(folder) for path in _files(folder, name)]
    text = "".join(f"{path.name}\0{sha256_file(path)}\0" for path in (folder / INDEX, *files))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_ids(folder: Path) -> list[str]:
    path = folder / INDEX
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise _index_error(path, found, "a table with a column id", "Name the folder of a nodule library.") from error
    names = [(row.get("id") or "").strip() for row in rows]
    if not names or not all(names):
        found = "no rows" if not names else f"row {names.index('') + 2} without an id"
        raise _index_error(path, found, "an id in every row, in a column named id", "See docs/nodules.md for the form.")
    wrong = next((n for n in names if names.count(n) > 1 or Path(n).name != n), None)
    if wrong is not None:
        raise _index_error(path, f"id {wrong!r}", "ids that come once and are plain file names", "Rename the nodule.")
    return names


def _index_error(path: Path, found: str, needed: str, hint: str) -> DrrxError:
    return DrrxError(where=str(path), found=found, needed=needed, hint=hint)


def _files(folder: Path, name: str) -> Iterator[Path]:
    """Yield patch and mask of a nodule; a missing one is an error."""
    for pattern in (PATCH, MASK):
        path = folder / pattern.format(name)
        if not path.is_file():
            raise DrrxError(
                where=str(path), found="no such file", needed=f"the files {PATCH.format(name)} and {MASK.format(name)}",
                hint="index.csv names this nodule: add the file, or take the line out.",
            )  # fmt: skip
        yield path


def _read_nodule(folder: Path, name: str) -> LibraryPatch:
    patch_path, mask_path = _files(folder, name)
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
        volume = orient(read_volume_file(path, ReadCtSettings()).volume)
    except CaseRefused as error:  # a file of the library, not of a case
        raise DrrxError(where=str(path), found=error.found, needed=error.needed, hint=HINT) from error
    if not is_canonical(volume.world_from_index):
        raise DrrxError(
            where=path.name, found="axes that lie askew in the body", needed="axes along the body's",
            hint="Resample patch and mask onto straight axes.",
        )  # fmt: skip
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
