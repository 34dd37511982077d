"""Radiographs from outside: PNG, JPEG, TIFF or DICOM of any depth, as gray values with bone white."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drrx.errors import DrrxError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")


@dataclass(frozen=True, eq=False)
class FilmPixels:
    """Gray values, float32 ``[row, column]``, higher is whiter; the value of full white in a file of this depth; the
    detector spacing where the file tells it.
    """

    values: NDArray[np.float32]
    white: float
    spacing_mm: float | None


def read_film(path: Path) -> FilmPixels:
    """Read one radiograph; colours become luma, DICOM of MONOCHROME1 is inverted so that bone is white.

    Raises
    ------
    DrrxError
        The file is no readable radiograph of one frame.
    """
    try:
        film = _read_dicom(path) if path.suffix.lower() == ".dcm" else _read_picture(path)
    except (OSError, SyntaxError, ValueError, AttributeError, RuntimeError, Image.DecompressionBombError) as error:
        raise _refuse(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if film.values.ndim != 2 or not np.isfinite(film.values).all():
        raise _refuse(path, f"pixels of shape {film.values.shape}")
    return film


def _read_picture(path: Path) -> FilmPixels:
    with Image.open(path) as image:
        gray = image if image.mode in ("I", "F") or image.mode.startswith("I;16") else image.convert("L")
        pixels = np.asarray(gray)
        return FilmPixels(pixels.astype(np.float32), 255.0 if pixels.dtype == np.uint8 else 65535.0, None)


def _read_dicom(path: Path) -> FilmPixels:
    import pydicom  # slow to import

    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array.astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    elif dataset.PhotometricInterpretation != "MONOCHROME2":
        raise ValueError(f"PhotometricInterpretation {dataset.PhotometricInterpretation}")
    spacing = dataset.get("ImagerPixelSpacing") or dataset.get("PixelSpacing")
    return FilmPixels(values, 2.0**dataset.BitsStored - 1, float(spacing[0]) if spacing else None)


def _refuse(path: Path, found: str) -> DrrxError:
    return DrrxError(
        where=str(path), found=found, needed="one radiograph: PNG, JPEG, TIFF or DICOM, one gray frame",
        hint="Leave the file out, or export it again as 16-bit grayscale PNG.",
    )  # fmt: skip
