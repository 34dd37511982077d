"""Heart and mediastinum: the soft tissue between the lungs, from their tops to the diaphragm."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask, keep_largest, open_

OPENING_MM = 4.0
# The heart rests on the diaphragm a little below the top of its right dome.
BELOW_DOME_MM = 20.0
# Right lung that surrounds the liver fills less than this share of its own hull.
DOME_SHARE = 0.62
SPINE_HALF_WIDTH_MM = 24.0


def find_mediastinum(coarse: Coarse, lungs: Lungs, bone: Mask, body: Mask, midline: NDArray[np.float64]) -> Mask:
    """Return heart and mediastinum on the coarse grid.

    In each slice: inside the convex hull of both lungs, outside lungs and bone, in front of the spine; below the
    top of the right dome without what the right lung wraps around (liver).
    """
    dome = find_dome(lungs.right)
    bottom = max(0, int(dome - BELOW_DOME_MM / coarse.spacing_mm[0]))
    front = _find_spine_front(lungs, bone, midline, coarse)
    columns = np.arange(bone.shape[2])
    found = np.zeros_like(body)
    for index in range(bottom, body.shape[0]):
        right, left = lungs.right[index], lungs.left[index]
        if not right.any() or not left.any():
            continue
        inside = convex_hull_image(right | left) & body[index] & ~right & ~left & ~bone[index]
        if index < dome:
            inside &= ~convex_hull_image(right)
        in_strip = np.abs(columns - midline[index]) * coarse.spacing_mm[2] < SPINE_HALF_WIDTH_MM
        behind = np.arange(bone.shape[1])[:, None] >= front[index]
        found[index] = inside & ~(behind & in_strip[None, :])
    found &= coarse.hu > -200
    return keep_largest(open_(found, OPENING_MM, coarse.spacing_mm))


def find_dome(right: Mask) -> int:
    """Return the slice of the top of the right dome: the highest in which the lung is a crescent around the liver."""
    slices = np.flatnonzero(right.any(axis=(1, 2)))
    middle = slices[len(slices) // 2]
    dome = int(slices[0])
    for index in slices[slices <= middle]:
        plane = right[index]
        if plane.sum() >= 3 and plane.sum() < DOME_SHARE * convex_hull_image(plane).sum():
            dome = int(index)
    return dome


def _find_spine_front(lungs: Lungs, bone: Mask, midline: NDArray[np.float64], coarse: Coarse) -> NDArray[np.float64]:
    """Return the row of the front of the vertebral bodies in each slice (median-smoothed over 50 mm)."""
    both = lungs.both
    front = np.full(bone.shape[0], np.nan)
    half = max(1, round(8.0 / coarse.spacing_mm[2]))
    for index in np.flatnonzero(both.any(axis=(1, 2))):
        rows = np.flatnonzero(both[index].any(axis=1))
        start = int(rows[0] + 0.4 * (rows[-1] - rows[0]))
        middle = round(midline[index])
        strip = bone[index, start:, middle - half : middle + half + 1]
        hits = np.flatnonzero(strip.mean(axis=1) > 0.3)
        if hits.size:
            front[index] = start + hits[0]
    known = np.flatnonzero(np.isfinite(front))
    if not known.size:
        return np.full(bone.shape[0], float(bone.shape[1]))
    front = np.interp(np.arange(len(front)), known, front[known])
    size = max(1, round(50.0 / coarse.spacing_mm[0])) | 1
    smooth: NDArray[np.float64] = ndimage.median_filter(front, size=size, mode="nearest")
    return smooth
