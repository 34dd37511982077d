"""Masks and boxes of a nodule's shadow, and their run-length code."""

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from drrx.records.annotation import Box, Rle

Mask = NDArray[np.bool_]


def box_of(mask: Mask, row: int = 0, column: int = 0) -> Box:
    """Return ``(x, y, width, height)`` of the true pixels, moved by ``row`` and ``column``; zeros for none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return (0.0, 0.0, 0.0, 0.0)
    x, y = float(columns[0] + column), float(rows[0] + row)
    return x, y, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)


def place_window(window: Mask, row: int, column: int, shape: tuple[int, int]) -> Mask:
    """Return a full-size mask with ``window`` at ``[row, column]``; what lies outside the image is dropped."""
    full = np.zeros(shape, dtype=bool)
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + window.shape[0], shape[0]), min(column + window.shape[1], shape[1])
    if top < bottom and left < right:
        full[top:bottom, left:right] = window[top - row : bottom - row, left - column : right - column]
    return full


def encode_mask(mask: Mask) -> Rle:
    """Return COCO's compressed run lengths of a full-size mask."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return Rle((int(mask.shape[0]), int(mask.shape[1])), code["counts"].decode("ascii"))


def decode_mask(rle: Rle) -> Mask:
    """Return the mask ``[row, column]`` that ``encode_mask`` took."""
    return np.asarray(coco_mask.decode({"size": list(rle.size), "counts": rle.counts.encode("ascii")}), dtype=bool)
