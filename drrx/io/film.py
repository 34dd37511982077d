"""Radiographs from outside: PNG, JPEG, TIFF or DICOM of any depth, as gray values with bone white."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.io.picture import MAX_NUM_PIXELS, make_picture_error, open_film, open_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")
# Of the decoders that may be installed, GDCM can end the program and pylibjpeg's RLE panics.
DECODERS = {
    "1.2.840.10008.1.2.5": "pydicom", "1.2.840.10008.1.2.4.80": "pyjpegls", "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg", "1.2.840.10008.1.2.4.91": "pylibjpeg", "1.2.840.10008.1.2.4.50": "pillow",
}  # fmt: skip
PLAIN_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")


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
    film = _read_dicom(path) if path.suffix.lower() == ".dcm" else _read_picture(path)
    if film.values.ndim != 2 or not film.values.size or not np.isfinite(film.values).all():
        raise make_picture_error(path, f"pixels of shape {film.values.shape}, or some that are no number")
    return film


def _read_picture(path: Path) -> FilmPixels:
    with open_picture(path) as image:
        gray = image if image.mode in ("I", "F") or image.mode.startswith("I;16") else image.convert("L")
        pixels = np.asarray(gray)
    return FilmPixels(pixels.astype(np.float32), 255.0 if pixels.dtype == np.uint8 else 65535.0, None)


def _read_dicom(path: Path) -> FilmPixels:
    with open_film(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they repeat values of the header
        try:
            return _decode_dicom(path, stream)
        except DrrxError:
            raise
        except Exception as error:  # AttributeError, ValueError, RecursionError, ...: no list of them is complete
            raise make_picture_error(path, f"a damaged DICOM file ({type(error).__name__})") from error


def _decode_dicom(path: Path, stream: Any) -> FilmPixels:
    import pydicom  # slow to import
    from pydicom.pixels.utils import pixel_array

    dataset = pydicom.dcmread(stream)
    num_pixels = int(dataset.Rows) * int(dataset.Columns)
    frames, kind = int(dataset.get("NumberOfFrames") or 1), dataset.PhotometricInterpretation
    if frames != 1 or int(dataset.SamplesPerPixel) != 1 or not 0 < num_pixels <= MAX_NUM_PIXELS:
        raise make_picture_error(path, f"{frames} frames of {num_pixels} pixels")
    syntax = dataset.file_meta.TransferSyntaxUID
    if kind not in ("MONOCHROME1", "MONOCHROME2") or syntax not in (*DECODERS, *PLAIN_SYNTAXES):
        raise make_picture_error(path, "colours, or a compression that is not read")
    values = pixel_array(dataset, decoding_plugin=DECODERS.get(syntax, "")).astype(np.float32)
    spacing = dataset.get("ImagerPixelSpacing") or dataset.get("PixelSpacing")
    spacing_mm = float(spacing[0]) if spacing else None
    if spacing_mm is not None and not 0 < spacing_mm < np.inf:
        raise make_picture_error(path, f"a pixel spacing of {spacing_mm:g} mm")
    return FilmPixels(
        values.max() - values if kind == "MONOCHROME1" else values, 2.0**dataset.BitsStored - 1, spacing_mm
    )
