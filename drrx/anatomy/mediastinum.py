"""Heart and mediastinum: the soft tissue between the lungs, from their tops to the diaphragm."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask, erode, keep_largest, open_

OPENING_MM = 4.0
# The heart rests on the diaphragm: below the top of the right dome, at about the top of the left one.
BELOW_RIGHT_MM = 20.0
BELOW_LEFT_MM = 5.0
# The dome is looked for under the middle of the lung's footprint, not at its rim or beside the heart.
FOOTPRINT_MM = 25.0
DOME_MARGIN_MM = 8.0
# ... and behind the heart.
FRONT_SHARE = 0.4
SPINE_HALF_WIDTH_MM = 24.0


def find_mediastinum(
    coarse: Coarse, lungs: Lungs, bone: Mask, body: Mask, midline: NDArray[np.float64], has_contrast: bool
) -> Mask:
    """Return heart and mediastinum on the coarse grid.

    In each slice: inside the convex hull of both lungs, outside lungs and bone, in front of the spine; not under the
    base of a lung (liver, stomach, spleen) and not below the heart. With contrast medium, what is bright in front of
    the spine is blood, not bone.
    """
    belly_right, dome_right = _find_belly(lungs.right, coarse)
    belly_left, dome_left = _find_belly(lungs.left, coarse)
    slice_mm = coarse.spacing_mm[0]
    bottom = round(min(dome_right - BELOW_RIGHT_MM / slice_mm, dome_left - BELOW_LEFT_MM / slice_mm))
    front = _find_spine_front(lungs, bone, midline, coarse)
    from_midline = np.abs(np.arange(bone.shape[2])[None, :] - midline[:, None]) * coarse.spacing_mm[2]
    rows = np.arange(bone.shape[1])[:, None]
    found = np.zeros_like(body)
    for index in range(max(0, bottom), body.shape[0]):
        right, left = lungs.right[index], lungs.left[index]
        if right.any() and left.any():
            behind = (rows >= front[index]) & (from_midline[index] < SPINE_HALF_WIDTH_MM)[None, :]
            hard = bone[index] & (rows >= front[index]) if has_contrast else bone[index]
            found[index] = convex_hull_image(right | left) & ~behind & ~hard
    found &= body & ~lungs.both & ~belly_right & ~belly_left & (coarse.hu > -200)
    return keep_largest(open_(found, OPENING_MM, coarse.spacing_mm))


def _find_belly(lung: Mask, coarse: Coarse) -> tuple[Mask, float]:
    """Return the voxels under the base of a lung, and the slice of the top of its dome.

    A column of voxels belongs to the base when the lung in it ends at about the height of the dome or lower; above
    the heart it ends higher.
    """
    footprint: Mask = np.asarray(lung.any(axis=0))
    lowest = np.where(footprint, lung.argmax(axis=0), lung.shape[0])
    inner = erode(footprint[None], FOOTPRINT_MM, coarse.spacing_mm)[0]
    inner = inner if inner.any() else footprint
    rows = np.flatnonzero(inner.any(axis=1))
    inner &= np.arange(len(inner))[:, None] >= rows[0] + FRONT_SHARE * (rows[-1] - rows[0])
    dome = float(np.quantile(lowest[inner], 0.9))
    is_base = footprint & (lowest <= dome + DOME_MARGIN_MM / coarse.spacing_mm[0])
    belly = (np.arange(lung.shape[0])[:, None, None] < lowest[None]) & is_base[None]
    return belly, dome


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
