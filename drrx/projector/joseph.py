"""The CPU kernel of any view: Joseph's method, ray by ray.

Joseph (IEEE TMI 1982): a ray takes one bilinear sample in every slab of voxels along the axis that it mostly follows.
Axes of the arrays are those of ``kinks.py``: ``n`` along the rays, ``a`` and ``b`` across them.
"""

import numpy as np
from numba import njit, prange


@njit(cache=True)
def find_boxes(extents):  # type: ignore[no-untyped-def]
    """Bounds (a, end of a, b, end of b) of what each slab holds; ends are 0 where it holds nothing."""
    num_a, num_n, _ = extents.shape
    boxes = np.zeros((num_n, 4), np.int64)
    boxes[:, 0], boxes[:, 2] = num_a, 1 << 30
    for a in range(num_a):
        for n in range(num_n):
            if extents[a, n, 1] > 0:
                boxes[n, 0], boxes[n, 1] = min(boxes[n, 0], a), a + 1
                boxes[n, 2], boxes[n, 3] = min(boxes[n, 2], extents[a, n, 0]), max(boxes[n, 3], extents[a, n, 1])
    return boxes


@njit(parallel=True, fastmath=True, cache=True)
def project_by_rays(  # type: ignore[no-untyped-def]
    values, labels, bands, offsets, bits, num_masks, boxes, source, ray00, row_step, column_step, shape
):
    """Joseph's sums in units of slabs, float32 ``[channel, row, column]``; arguments as in ``cpu.py``."""
    num_a, _, num_b = values.shape
    num_rows, num_columns = shape
    num_bands = offsets.size
    used = np.nonzero(boxes[:, 1])[0]
    image = np.zeros((num_bands + num_masks, num_rows, num_columns), np.float32)
    if used.size == 0:
        return image
    for row in prange(num_rows):
        totals = np.zeros(num_bands + num_masks)
        for column in range(num_columns):
            ray = ray00 + row * row_step + column * column_step
            slope_a, slope_b = ray[0] / ray[1], ray[2] / ray[1]
            totals[:] = 0.0
            for n in range(used[0], used[-1] + 1):
                depth = (n - source[1]) / ray[1]
                a = source[0] + (n - source[1]) * slope_a
                b = source[2] + (n - source[1]) * slope_b
                i, j = np.int64(np.floor(a)), np.int64(np.floor(b))
                box = boxes[n]
                if i + 1 < box[0] or i >= box[1] or j + 1 < box[2] or j >= box[3] or depth <= 0 or depth > 1:
                    continue
                share_a, share_b = a - i, b - j
                for di in range(2):
                    for dj in range(2):
                        k, m = i + di, j + dj
                        if k < 0 or k >= num_a or m < 0 or m >= num_b:
                            continue
                        weight = (share_a if di else 1.0 - share_a) * (share_b if dj else 1.0 - share_b)
                        value = np.float64(values[k, n, m])
                        for q in range(num_bands):
                            totals[q] += weight * (min(max(value, bands[q, 0]), bands[q, 1]) - offsets[q])
                        if num_masks > 0:
                            mark = bits[labels[k, n, m]]
                            for q in range(num_masks):
                                totals[num_bands + q] += weight * (mark >> q & 1)
            image[:, row, column] = totals
    return image
