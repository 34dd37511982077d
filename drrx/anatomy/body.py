"""The patient without table, blankets and air."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.morphology import Mask, dilate, erode, fill_slices, keep_largest

# Table shells, sheets and tubes are thinner than twice this; limbs and chest wall are thicker.
OPENING_MM = 5.0


def find_body(coarse: Coarse, threshold_hu: float) -> Mask:
    """Return everything inside the skin, lungs included, on the coarse grid.

    Tissue is opened so that the table comes off, the largest part is kept, brought back to its own surface and
    filled slice by slice. Arms stay when they hang together with the trunk.
    """
    tissue = coarse.hu > threshold_hu
    core = keep_largest(erode(tissue, OPENING_MM, coarse.spacing_mm))
    body = tissue & dilate(core, OPENING_MM + min(coarse.spacing_mm), coarse.spacing_mm)
    # The first fill makes the trunk thick everywhere, the second closes skin folds.
    filled: Mask = fill_slices(body)
    return _drop_islands(filled)


def _drop_islands(body: Mask) -> Mask:
    """Keep, in each slice, the parts that hold at least a twentieth of the largest one (trunk and arms)."""
    kept = np.zeros_like(body)
    for index, plane in enumerate(body):
        labels, count = ndimage.label(plane)
        if count:
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            kept[index] = (sizes >= 0.05 * sizes.max())[labels]
    return kept


def find_midline(body: Mask) -> NDArray[np.float64]:
    """Return the column of the middle of the trunk in each slice (median over the whole trunk, smoothed)."""
    columns = np.arange(body.shape[2])
    weight = body.sum(axis=1).astype(np.float64)
    total = weight.sum(axis=1)
    overall = float((weight.sum(axis=0) * columns).sum() / max(weight.sum(), 1.0))
    middle = np.where(total > 0, (weight * columns).sum(axis=1) / np.maximum(total, 1.0), overall)
    # An arm on one side of the field of view pulls the centre of a slice: stay near the middle of the trunk.
    return np.asarray((middle + 3 * overall) / 4)
