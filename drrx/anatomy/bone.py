"""The skeleton, told apart from contrast medium."""

import numpy as np

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask, close_slices, dilate, erode, fill_slices, keep_large, open_, reconstruct
from drrx.volume import Volume

MIN_PART_ML = 0.4
CLOSING_MM = 4.0
# Inside a shell of cortex everything above this is marrow; the spinal canal is below.
MARROW_HU = 70.0
# Below this much blood the bone threshold alone keeps contrast medium out.
CONTRAST_HU = 130.0
BLOOD_SHARE = 0.7
# Vessels and chambers are thicker than twice this, ribs and cortex are not.
BLOOD_CORE_MM = 4.0
BLOOD_EDGE_MM = 3.0
SPINE_HALF_WIDTH_MM = 28.0
DEEP_MM = 25.0
ORGAN_HU = 150.0


def find_heart_zone(coarse: Coarse, lungs: Lungs) -> Mask:
    """Return soft tissue between the lungs in the ventral half of the middle slices: heart and great vessels only."""
    both = lungs.both
    zone = np.zeros_like(both)
    slices = np.flatnonzero(both.any(axis=(1, 2)))
    low, high = np.quantile(slices, (0.3, 0.75)).astype(int)
    for index in range(low, high + 1):
        right, left = lungs.right[index], lungs.left[index]
        if not right.any() or not left.any():
            continue
        rows = np.flatnonzero(both[index].any(axis=1))
        front, back = (int(rows[0] + share * (rows[-1] - rows[0])) for share in (0.15, 0.5))
        inner = int(np.flatnonzero(right.any(axis=0))[-1]), int(np.flatnonzero(left.any(axis=0))[0])
        zone[index, front:back, min(inner) : max(inner) + 1] = True
    zone &= ~both & (coarse.hu > 0)
    return zone


def measure_blood_hu(coarse: Coarse, zone: Mask) -> float:
    """Return the median HU of the heart zone: about 40 without, above 130 with contrast medium."""
    return float(np.median(coarse.hu[zone])) if zone.any() else 40.0


def find_contrast(coarse: Coarse, body: Mask, zone: Mask, blood_hu: float) -> Mask:
    """Return blood (and kidneys) bright with contrast medium; empty without it.

    Bright cores that hang together with the heart are blood; so are those deep in the lower body beside the spine.
    """
    if blood_hu < CONTRAST_HU:
        return np.zeros_like(body)
    bright = body & (coarse.hu > BLOOD_SHARE * blood_hu)
    cores = erode(bright, BLOOD_CORE_MM, coarse.spacing_mm)
    blood = dilate(reconstruct(zone & cores, cores), BLOOD_CORE_MM + BLOOD_EDGE_MM, coarse.spacing_mm)
    # Kidneys and bowel: bright, deep in the lower body, beside the spine.
    lowest = int(np.flatnonzero(zone.any(axis=(1, 2)))[0])
    middle = float(np.median(np.nonzero(zone)[2]))
    below = np.zeros_like(body)
    below[:lowest] = erode(body[:lowest], DEEP_MM, coarse.spacing_mm) & (coarse.hu[:lowest] > ORGAN_HU)
    below[:, :, np.abs(np.arange(body.shape[2]) - middle) * coarse.spacing_mm[2] < SPINE_HALF_WIDTH_MM] = False
    organs = open_(below, BLOOD_CORE_MM, coarse.spacing_mm)
    return blood | dilate(organs, BLOOD_EDGE_MM, coarse.spacing_mm)


def find_bone(ct: Volume, coarse: Coarse, body: Mask, contrast: Mask, threshold_hu: float) -> Mask:
    """Return the skeleton on the CT's own grid (lungs not yet taken out); marrow is filled within its cortex."""
    cortex = ct.values > threshold_hu
    share = coarse.shrink(cortex) | (coarse.hu > threshold_hu)
    parts = keep_large(share & body & ~contrast, MIN_PART_ML / coarse.voxel_ml)
    spacing = coarse.spacing_mm
    filled = fill_slices(close_slices(parts, CLOSING_MM, spacing))
    marrow = filled & (coarse.hu > MARROW_HU) & body & ~contrast
    bone = coarse.grow(marrow)
    return bone | (cortex & coarse.grow(dilate(parts | marrow, min(spacing), spacing) & ~contrast & body))
