"""The skeleton, told apart from contrast medium."""

import numpy as np

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask, close, fill_slices, keep_large
from drrx.volume import Volume

BLOOD_MARGIN_HU = 80.0
MAX_THRESHOLD_HU = 500.0
MIN_PART_ML = 0.4
CLOSING_MM = 4.0
# Inside a shell of cortex everything above this is marrow; the spinal canal is below.
MARROW_HU = 70.0


def measure_blood_hu(coarse: Coarse, lungs: Lungs) -> float:
    """Return the HU that nearly all soft tissue between the lungs stays below (95th percentile); high with contrast."""
    both = lungs.both
    slices = np.flatnonzero(both.any(axis=(1, 2)))
    low, high = np.quantile(slices, (0.3, 0.75)).astype(int)
    samples = []
    for index in range(low, high + 1):
        right, left = lungs.right[index], lungs.left[index]
        if not right.any() or not left.any():
            continue
        rows = np.flatnonzero(both[index].any(axis=1))
        front, back = rows[0], (rows[0] + rows[-1]) // 2  # the ventral half: heart and great vessels, no spine
        inner = int(np.flatnonzero(right.any(axis=0))[-1]), int(np.flatnonzero(left.any(axis=0))[0])
        first, last = min(inner), max(inner) + 1
        samples.append(coarse.hu[index, front:back, first:last][~both[index, front:back, first:last]])
    values = np.concatenate(samples) if samples else np.zeros(0, dtype=np.float32)
    values = values[values > 0]
    return float(np.quantile(values, 0.95)) if values.size else 60.0


def find_bone(ct: Volume, coarse: Coarse, body: Mask, blood_hu: float, threshold_hu: float) -> Mask:
    """Return the skeleton on the CT's own grid (lungs not yet taken out).

    The threshold rises above the blood when there is contrast medium; marrow is filled within its cortex.
    """
    threshold = min(max(threshold_hu, blood_hu + BLOOD_MARGIN_HU), MAX_THRESHOLD_HU)
    cortex = ct.values > threshold
    share = coarse.shrink(cortex) | (coarse.hu > threshold)
    parts = keep_large(share & body, MIN_PART_ML / coarse.voxel_ml)
    spacing = coarse.spacing_mm
    filled = fill_slices(np.stack([close(plane[None], CLOSING_MM, spacing)[0] for plane in parts]))
    marrow = filled & (coarse.hu > MARROW_HU) & body
    bone = coarse.grow(marrow)
    return bone | (cortex & coarse.grow(parts | marrow))
