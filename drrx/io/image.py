"""Radiographs as grayscale PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drrx.errors import DrrxError
from drrx.io.files import write_whole
from drrx.io.finite import check_finite
from drrx.io.picture import open_picture

WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def read_image(path: Path) -> NDArray[np.float32]:
    """Read an 8- or 16-bit grayscale image as float32 ``[row, column]`` in 0..1 (white = 1, full range of the file).

    Raises
    ------
    DrrxError
        The file is no image, has colours, or has another depth.
    """
    with open_picture(path) as image:
        mode, pixels = image.mode, np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4) and (pixels[..., :3] == pixels[..., :1]).all():
        pixels = pixels[..., 0]  # a gray image stored as RGB
    if mode == "I":  # Pillow gives 16-bit PNGs of some writers as int32
        pixels = pixels.astype(np.uint16) if pixels.min() >= 0 and pixels.max() <= 65535 else pixels
    if pixels.ndim != 2 or pixels.dtype not in WHITE:
        raise DrrxError(
            where=str(path), found=f"image mode {mode}, shape {pixels.shape}, dtype {pixels.dtype}",
            needed="one gray channel of 8 or 16 bits", hint="Convert it to grayscale PNG first.",
        )  # fmt: skip
    return pixels.astype(np.float32) / np.float32(WHITE[pixels.dtype])


def write_image(path: Path, values: NDArray, *, bits: int = 16) -> None:
    """Write ``[row, column]`` values in 0..1 as a grayscale PNG of 8 or 16 bits; values outside are clipped.

    Raises
    ------
    CaseFailed
        ``NON_FINITE_OUTPUT``: a value is NaN or infinite.
    """
    check_finite(values, path.name)
    white, dtype = {8: (255, np.uint8), 16: (65535, np.uint16)}[bits]
    pixels = np.round(np.clip(values, 0.0, 1.0) * white).astype(dtype)
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(pixels).save(stream, format="PNG", compress_level=4)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a figure for people, uint8 ``[row, column, 3]`` RGB, as PNG."""
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(pixels).save(stream, format="PNG")
