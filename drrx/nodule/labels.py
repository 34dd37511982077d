"""Labels of the anatomy around a nodule: which are lung, what they are on a fine grid, and growing a mask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from drrx.nodule.patch import axis_coordinates
from drrx.records.anatomy import LEFT_LUNG, LOBES, RIGHT_LUNG, Label
from drrx.volume import Volume

VESSELS = (Label.VESSEL_RIGHT, Label.VESSEL_LEFT)
Boolean = NDArray[np.bool_]


def label_table(*labels: Label) -> Boolean:
    """Return a table of 256 bools that is true for ``labels``."""
    table = np.zeros(256, dtype=bool)
    table[list(labels)] = True
    return table


IS_RIGHT, IS_LEFT = label_table(*RIGHT_LUNG), label_table(*LEFT_LUNG)
IS_LUNG, IS_LOBE, IS_VESSEL = IS_RIGHT | IS_LEFT, label_table(*LOBES), label_table(*VESSELS)


def sample_labels(labels: Volume, shape: Sequence[int], world_from_index: NDArray) -> NDArray[np.uint8]:
    """Return the nearest label on a fine grid; ``OUTSIDE`` beyond the label map."""
    axes = axis_coordinates(labels, shape, world_from_index)
    nearest = [np.rint(a).astype(int) for a in axes]
    inside = [(a >= 0) & (a < n) for a, n in zip(nearest, labels.shape, strict=True)]
    clipped = [np.clip(a, 0, n - 1) for a, n in zip(nearest, labels.shape, strict=True)]
    values = labels.values[np.ix_(*clipped)].copy()
    values[~(inside[0][:, None, None] & inside[1][:, None] & inside[2])] = Label.OUTSIDE
    return values


def grow(mask: Boolean, distance_mm: float, spacing_mm: tuple[float, float, float]) -> Boolean:
    """Return ``mask`` grown by ``distance_mm`` along each axis (a box: fast, and enough for a millimetre)."""
    grown = mask.astype(np.uint8)
    for axis, spacing in enumerate(spacing_mm):
        grown = maximum_filter1d(grown, 2 * round(distance_mm / spacing) + 1, axis=axis, mode="nearest")
    return np.asarray(grown, dtype=bool)
