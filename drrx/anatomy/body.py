"""The patient without table, blankets and air."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.morphology import Mask, dilate, erode_roughly, fill_slices, keep_largest

# Table shells, sheets and tubes are thinner than twice this; limbs and chest wall are thicker.
OPENING_MM = 5.0
# Where the field of view cuts the chest wall, what is left may be thinner; a hole this large behind it is lung.
MIN_HOLE_CM2 = 3.0
WALL_MM = 12.0
INSIDE_SHARE = 0.9


def find_body(coarse: Coarse, threshold_hu: float) -> Mask:
    """Return everything inside the skin, lungs included, on the coarse grid.

    Tissue is opened so that the table comes off, the largest part is kept, brought back to its own surface and
    filled slice by slice. Arms stay when they hang together with the trunk.
    """
    tissue = coarse.hu > threshold_hu
    core = keep_largest(erode_roughly(tissue, OPENING_MM, coarse.spacing_mm))
    opened = tissue & dilate(core, OPENING_MM + min(coarse.spacing_mm), coarse.spacing_mm)
    body = fill_slices(opened)
    for index in np.flatnonzero(opened.any(axis=(1, 2))):
        body[index] = _mend_wall(body[index], opened[index], tissue[index], coarse.spacing_mm)
    return _drop_islands(body)


def _mend_wall(body: Mask, opened: Mask, tissue: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Bring back thin chest wall, and the lung behind it, where opening broke the ring of a slice."""
    lost = ndimage.binary_fill_holes(tissue) & ~tissue & ~body
    cm2 = spacing_mm[1] * spacing_mm[2] / 100.0
    if lost.sum() * cm2 < MIN_HOLE_CM2:
        return body
    hull = convex_hull_image(opened)
    labels, count = ndimage.label(lost)
    mended = body.copy()
    for number in range(1, count + 1):
        hole = labels == number
        # Pockets over the table lie outside the hull of the body.
        if hole.sum() * cm2 >= MIN_HOLE_CM2 and (hole & hull).sum() >= INSIDE_SHARE * hole.sum():
            wall = dilate(hole[None], WALL_MM, spacing_mm)[0] & tissue & hull
            mended |= hole | wall
    filled: Mask = ndimage.binary_fill_holes(mended)
    return filled


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
    """Return the column of the middle of the trunk in each slice (its centre, drawn to that of the whole trunk)."""
    columns = np.arange(body.shape[2])
    weight = body.sum(axis=1).astype(np.float64)
    total = weight.sum(axis=1)
    overall = float((weight.sum(axis=0) * columns).sum() / max(weight.sum(), 1.0))
    middle = np.where(total > 0, (weight * columns).sum(axis=1) / np.maximum(total, 1.0), overall)
    # An arm on one side of the field of view pulls the centre of a slice: stay near the middle of the trunk.
    return np.asarray((middle + 3 * overall) / 4)
