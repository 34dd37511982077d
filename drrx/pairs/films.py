"""Real radiographs from an index table: which may be used, in which split, on which grid."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from drrx.errors import DrrxError
from drrx.io.film import SUFFIXES, read_film
from drrx.pairs.window import measure_window

PIXEL_MM = 430.0 / 1024.0
NON_COMMERCIAL = "CC BY-NC"
BASE_SIGMAS_PX = (40.0, 120.0)


@dataclass(frozen=True)
class FilmRow:
    """One usable line of the index: file, patient, split, detector spacing (``None``: long side is 430 mm)."""

    path: Path
    patient: str
    split: str
    licence: str
    spacing_mm: float | None


def split_of(patient: str) -> str:
    """Return ``train`` (80 %), ``val`` (8 %) or ``test`` (12 %), from the patient's name alone."""
    share = int.from_bytes(hashlib.blake2b(f"drrx-split {patient}".encode(), digest_size=4).digest(), "big") / 2**32
    return "train" if share < 0.80 else "val" if share < 0.88 else "test"


def read_films(images: Path) -> tuple[FilmRow, ...]:
    """Return the usable films of an index CSV, in its order, or of a folder, in the order of their paths.

    Columns needed: ``file``, ``patient``; optional: ``licence``, ``pixel_spacing_mm``, ``low_contrast``. Rows with a
    licence that begins with "CC BY-NC" or with ``low_contrast`` 1 are left out. Files lie beside the table or in one
    folder below it. In a folder every PNG, JPEG, TIFF and DICOM (``.dcm``) file below it is a film; its patient is the
    first folder on the way to it, or its own name where it lies in none. Licences are then the user's own affair.

    Raises
    ------
    DrrxError
        The table or a file is missing, or a column is, or a folder holds no film.
    """
    return _list_folder(images) if images.is_dir() else _read_index(images)


def _list_folder(folder: Path) -> tuple[FilmRow, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise DrrxError(
            where=str(folder), found="no radiograph", needed=f"files that end in {', '.join(SUFFIXES)}",
            hint="Give the folder that holds the images, or an index CSV.",
        )  # fmt: skip
    patients = [path.relative_to(folder).with_suffix("").parts[0] for path in paths]
    return tuple(FilmRow(path, name, split_of(name), "", None) for path, name in zip(paths, patients, strict=True))


def _read_index(index: Path) -> tuple[FilmRow, ...]:
    try:
        with index.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise DrrxError(
            where=str(index), found=str(error), needed="a CSV table of radiographs, or a folder of them",
            hint="Give the path of the index or of the folder with --images.",
        ) from error  # fmt: skip
    missing = {"file", "patient"} - set(rows[0] if rows else ())
    if missing:
        raise DrrxError(
            where=str(index), found=f"no column {', '.join(sorted(missing))}", needed="columns file and patient",
            hint="One row per radiograph; patient keeps the splits apart.",
        )  # fmt: skip
    usable = [row for row in rows if not (row.get("licence") or "").startswith(NON_COMMERCIAL)]
    return tuple(_to_row(index, row) for row in usable if row.get("low_contrast", "0") != "1")


def _to_row(index: Path, row: dict[str, str]) -> FilmRow:
    found = [path for path in (index.parent / row["file"], *index.parent.glob(f"*/{row['file']}")) if path.is_file()]
    if not found:
        raise DrrxError(
            where=f"{index}, file {row['file']}", found="no such file", needed="the image beside the table",
            hint="Put the images beside the table or in one folder below it.",
        )  # fmt: skip
    spacing = float(row["pixel_spacing_mm"]) if row.get("pixel_spacing_mm") else None
    return FilmRow(found[0], row["patient"], split_of(row["patient"]), row.get("licence", ""), spacing)


def load_film(row: FilmRow, pixel_mm: float = PIXEL_MM) -> NDArray[np.float32]:
    """Return a film windowed to 0..1 on the grid of ``pixel_mm``; float32 ``[row, column]``, never enlarged."""
    film = read_film(row.path)
    values = to_grid(film.values, row.spacing_mm or film.spacing_mm, pixel_mm)
    return np.clip(measure_window(values).apply(values), 0.0, 1.0)


def to_grid(values: NDArray[np.float32], spacing_mm: float | None, pixel_mm: float) -> NDArray[np.float32]:
    """Shrink an image to pixels of ``pixel_mm`` with a Lanczos filter; without a spacing its long side is 430 mm."""
    height, width = values.shape
    scale = min(1.0, (spacing_mm or 430.0 / max(height, width)) / pixel_mm)
    size = (max(256, round(width * scale)), max(256, round(height * scale)))
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.LANCZOS), dtype=np.float32)


def stack_film(values: NDArray[np.float32]) -> Tensor:
    """Return a film and its two smooth bases (Gaussian 40 and 120 px), float16 ``[3, row, column]``.

    Made once per film, so that a crop can be hazed by structures far larger than itself.
    """
    from scipy import ndimage

    height, width = values.shape
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(values)[None, None], (height // 8, width // 8))
    bases = [ndimage.gaussian_filter(small[0, 0].numpy(), sigma / 8, mode="nearest") for sigma in BASE_SIGMAS_PX]
    large = torch.nn.functional.interpolate(
        torch.from_numpy(np.stack(bases))[None], size=(height, width), mode="bicubic", align_corners=False
    )
    return torch.cat([torch.from_numpy(values)[None], large[0]]).half()


def measure_noise(values: NDArray[np.float32]) -> float:
    """Return the noise of a film: robust deviation of the finest diagonal Haar band, where the film is not black."""
    even = values[: values.shape[0] // 2 * 2, : values.shape[1] // 2 * 2]
    a, b, c, d = even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]
    diagonal, mean = (a - b - c + d) / 2, (a + b + c + d) / 4
    lit = diagonal[(mean > 0.05) & (mean < 0.95)]
    return float(np.median(np.abs(lit)) / 0.6745) if lit.size else 0.0
