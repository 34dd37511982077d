"""Outlines of masks: a page opened from disk may not use masks as images, but it can draw polygons."""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from drrx.annotate.mask import decode_mask
from drrx.records.annotation import Box, Rle

#: A contour at 0.5 keeps 1 / sqrt(8) = 0.354 px clear of the centres of pixels: less than that moves none across.
TOLERANCE_PX = 0.35


def make_outline(mask: Rle, box: Box) -> str:
    """Return the outline of a mask, as few points as it takes, in half pixels from the corner of its box.

    Parameters
    ----------
    mask
        The visual mask.
    box
        A box that holds all of it, ``(x, y, width, height)``.

    Returns
    -------
    A path of SVG: ``Mx yldx dy...z`` for each polygon, where steps are relative; holes are polygons too (fill with the
    even-odd rule). They hold the centres of exactly the pixels of the mask.
    """
    x, y, width, height = (int(value) for value in box)
    window = np.pad(decode_mask(mask)[y : y + height, x : x + width], 1).astype(np.float32)
    path = ""
    for contour in find_contours(window, 0.5):
        points = approximate_polygon(contour, TOLERANCE_PX)[:-1]
        # The padding adds a pixel, and the centre of a pixel lies half a pixel from its corner.
        halves = np.round((points[:, ::-1] - 0.5) * 2).astype(int)
        path += f"M{_join(halves[0])}l{_join(np.diff(halves, axis=0).ravel())}z"
    return path


def _join(numbers: NDArray[np.int_]) -> str:
    """Write numbers without the spaces that a minus makes needless."""
    return " ".join(map(str, numbers)).replace(" -", "-")
