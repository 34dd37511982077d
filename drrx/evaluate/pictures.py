"""Before and after, side by side, for people to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from drrx.io.image import write_picture

Image = NDArray[np.float32]
TITLE_PX, GAP_PX = 20, 4


def write_montage(
    path: Path, rows: Sequence[Sequence[Image]], titles: Sequence[Sequence[str]], height_px: int = 512
) -> None:
    """Write rows of images, float32 ``[row, column]`` in 0..1, each shrunk to one height with its title above."""
    lines = [
        np.concatenate([_make_cell(image, title, height_px) for image, title in zip(*pair, strict=True)], axis=1)
        for pair in zip(rows, titles, strict=True)
    ]
    width = max(line.shape[1] for line in lines)
    page = np.concatenate([np.pad(line, ((0, GAP_PX), (0, width - line.shape[1]))) for line in lines])
    write_picture(path, np.repeat(page[:, :, None], 3, axis=2))


def _make_cell(image: Image, title: str, height: int) -> NDArray[np.uint8]:
    levels = Pillow.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8))
    width = round(height * image.shape[1] / image.shape[0])
    cell = Pillow.new("L", (width + GAP_PX, height + TITLE_PX))
    cell.paste(levels.resize((width, height), Pillow.Resampling.LANCZOS), (0, TITLE_PX))
    ImageDraw.Draw(cell).text((4, 4), title, fill=255)
    return np.asarray(cell)
