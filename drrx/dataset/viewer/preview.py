"""Small pictures for the page: a thumbnail of each CXR, and what differs from the image it is compared with."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drrx.dataset.entries import ImageEntry
from drrx.io.files import write_whole

#: Ends of the colour scale, as share of the display range; each image takes the first that covers its difference.
SCALES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
BRIGHTER, DARKER = (226, 52, 38), (38, 112, 240)
STEPS = 127


def thumbnail_name(entry: ImageEntry) -> str:
    """Return the thumbnail's file, relative to the data set."""
    return f"previews/{entry.image_id}.jpg"


def difference_name(entry: ImageEntry) -> str:
    """Return the file of the difference, relative to the data set."""
    return f"previews/{entry.image_id}_difference.png"


def make_thumbnail(pixels: NDArray[np.float32], size_px: int) -> Image.Image:
    """Return an image in 8 bits, its long side ``size_px``; ``pixels`` are ``[row, column]`` in 0..1."""
    image = Image.fromarray(pixels)
    scale = size_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    return Image.fromarray(np.round(np.asarray(small) * 255).astype(np.uint8))


def find_scale(difference: NDArray[np.float32]) -> float:
    """Return the first of ``SCALES`` that covers a difference."""
    largest = float(np.abs(difference).max())
    return next((scale for scale in SCALES if largest <= scale), SCALES[-1])


def make_difference(difference: NDArray[np.float32], scale: float) -> Image.Image:
    """Return ``[row, column]`` differences as a palette image: red brighter, blue darker, zero see-through.

    Opacity is the difference over ``scale``; on white that is the usual blue-white-red.
    """
    steps = np.round(np.clip(difference / scale, -1, 1) * STEPS).astype(np.int16) + STEPS
    image = Image.fromarray(steps.astype(np.uint8), mode="P")
    image.putpalette(bytes(DARKER * STEPS + BRIGHTER * (STEPS + 1)))
    opacity = np.round(np.abs(np.arange(2 * STEPS + 1) - STEPS) / STEPS * 255).astype(np.uint8)
    image.info["transparency"] = opacity.tobytes()
    return image


def write_thumbnail(folder: Path, entry: ImageEntry, pixels: NDArray[np.float32], size_px: int) -> str:
    """Write the thumbnail as JPEG; return its name."""
    name = thumbnail_name(entry)
    with write_whole(folder / name) as temporary, temporary.open("wb") as stream:
        make_thumbnail(pixels, size_px).save(stream, format="JPEG", quality=80)
    return name


def write_difference(folder: Path, entry: ImageEntry, difference: NDArray[np.float32]) -> tuple[str, float]:
    """Write a difference, every pixel of it, as PNG; return its name and the end of its colour scale."""
    name, scale = difference_name(entry), find_scale(difference)
    with write_whole(folder / name) as temporary, temporary.open("wb") as stream:
        make_difference(difference, scale).save(stream, format="PNG")
    return name, scale
