"""The CPU kernel: Joseph's method, by kinks where the view allows it.

Joseph (IEEE TMI 1982) steps along the volume axis that the rays mostly follow and takes a bilinear sample per slab.
In an untilted frontal or lateral view each slab maps onto the detector by scale and shift. Then, along a detector
column, a slab's contribution is piecewise linear with a kink where the ray crosses a slice centre. Writing the second
differences at the kinks and summing twice gives the same image for the cost of the voxels, not of the pixels.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.projector.integrand import Integrand
from drrx.projector.rays import make_index_rays
from drrx.volume import Volume

TILE = 64  # detector columns a thread sweeps at once: its float64 accumulators then stay in the L2 cache


def project_on_cpu(integrand: Integrand, view: View) -> NDArray[np.float32]:
    """Do one job of ``drrx.projector.project`` on the CPU, with as many threads as numba has."""
    values, bits = integrand.volume.values, integrand.mask_bits
    channels = [
        np.clip(values, *band) - offset for band, offset in zip(integrand.bands, integrand.offsets, strict=True)
    ]
    channels += [bits[integrand.labels] >> k & 1 for k in range(len(integrand.masks))]
    return np.stack([_project(integrand.volume.with_values(channel), view) for channel in channels])


def _project(volume: Volume, view: View) -> NDArray[np.float32]:
    rays = make_index_rays(volume, view)
    first, second = rays.across
    # (across, along, across): of a frontal view that is the CT as it lies in memory, and nothing is copied.
    values = np.ascontiguousarray(volume.values.transpose(first, rays.axis, second))
    values = values.view(np.uint8) if values.dtype == np.bool_ else values
    order = [first, rays.axis, second]
    args = (rays.source_index[order], rays.pixel00_index[order], rays.row_step_index[order])
    kernel = _project_by_kinks if rays.is_separable else _project_by_rays
    total = kernel(values, *args, rays.column_step_index[order], *view.shape)
    return (total * rays.mm_per_slab).astype(np.float32)


@njit(cache=True)
def _find_extents(values):  # type: ignore[no-untyped-def]
    """First and one past the last non-zero column of every line; (big, -1) when a line is empty."""
    num_a, num_n, num_b = values.shape
    extents = np.empty((num_a, num_n, 2), np.int32)
    for a in range(num_a):
        for n in range(num_n):
            begin, end = num_b, -1
            for b in range(num_b):
                if values[a, n, b] != 0:
                    begin = b
                    break
            if begin < num_b:
                for b in range(num_b - 1, -1, -1):
                    if values[a, n, b] != 0:
                        end = b + 1
                        break
            extents[a, n, 0], extents[a, n, 1] = begin, end
    return extents


@njit(parallel=True, fastmath=True, cache=True)
def _project_by_kinks(values, source, pixel00, row_step, column_step, num_rows, num_columns):  # type: ignore[no-untyped-def]
    num_a, num_n, num_b = values.shape
    extents = _find_extents(values)
    image = np.zeros((num_rows, num_columns))
    for block in prange((num_columns + TILE - 1) // TILE):
        start = block * TILE
        stop = min(start + TILE, num_columns)
        width = stop - start
        # Second differences along the rows. Row 0 holds the value and row 1 the slope at the first detector row.
        kinks = np.zeros((num_rows + 3, width))
        value0 = np.zeros(width)
        before, here, after = np.zeros(width), np.zeros(width), np.zeros(width)
        index = np.empty(width, np.int64)
        weight = np.empty(width)
        for n in range(num_n):
            depth = (n - source[1]) / (pixel00[1] - source[1])
            if depth <= 0 or depth > 1:
                continue
            for c in range(width):
                b = source[2] + depth * (pixel00[2] + (start + c) * column_step[2] - source[2])
                floor = np.floor(b)
                index[c] = np.int64(min(max(floor, -2.0), num_b + 1.0))
                weight[c] = b - floor
            left, right = min(index[0], index[width - 1]), max(index[0], index[width - 1]) + 1
            slope = 1.0 / (depth * row_step[0])  # detector rows per slice, signed
            to_row = (source[0] + (0.0 - source[0]) / depth - pixel00[0]) / row_step[0]  # row of slice 0
            before[:], here[:], after[:] = 0.0, 0.0, 0.0
            filled = 0  # for how many more slices one of before, here, after may be non-zero
            for a in range(-1, num_a + 1):
                before, here, after = here, after, before
                is_filled = False
                if a + 1 < num_a:
                    begin, end = extents[a + 1, n, 0], extents[a + 1, n, 1]
                    is_filled = end > left and begin <= right
                if is_filled:
                    for c in range(width):
                        i = index[c]
                        low = np.float64(values[a + 1, n, i]) if 0 <= i < num_b else 0.0
                        high = np.float64(values[a + 1, n, i + 1]) if 0 <= i + 1 < num_b else 0.0
                        after[c] = low + weight[c] * (high - low)
                    filled = 3
                else:
                    if filled == 0:
                        continue
                    for c in range(width):
                        after[c] = 0.0
                    filled -= 1
                row = to_row + a * slope
                if row >= num_rows - 1:
                    continue
                per_row = abs(1.0 / slope)
                if row < 0:
                    for c in range(width):
                        change = (before[c] - 2.0 * here[c] + after[c]) * per_row
                        value0[c] -= row * change
                        kinks[0, c] += change
                else:
                    first = np.int64(np.floor(row))
                    f = row - first
                    for c in range(width):
                        change = (before[c] - 2.0 * here[c] + after[c]) * per_row
                        kinks[first, c] += (1.0 - f) * change
                        kinks[first + 1, c] += f * change
        for c in range(width):
            value, step = value0[c], 0.0
            for r in range(num_rows):
                image[r, start + c] = value
                step += kinks[r, c]
                value += step
    return image


@njit(parallel=True, fastmath=True, cache=True)
def _project_by_rays(values, source, pixel00, row_step, column_step, num_rows, num_columns):  # type: ignore[no-untyped-def]
    num_a, num_n, num_b = values.shape
    image = np.zeros((num_rows, num_columns))
    for row in prange(num_rows):
        for column in range(num_columns):
            pixel = pixel00 + row * row_step + column * column_step
            slabs = pixel[1] - source[1]
            slope_a, slope_b = (pixel[0] - source[0]) / slabs, (pixel[2] - source[2]) / slabs
            total = 0.0
            for n in range(num_n):
                depth = (n - source[1]) / slabs
                a = source[0] + (n - source[1]) * slope_a
                b = source[2] + (n - source[1]) * slope_b
                if depth <= 0 or depth > 1 or a <= -1 or b <= -1 or a >= num_a or b >= num_b:
                    continue
                i, j = np.int64(np.floor(a)), np.int64(np.floor(b))
                fa, fb = a - i, b - j
                if i >= 0:
                    low = values[i, n, j] if j >= 0 else 0.0
                    high = values[i, n, j + 1] if j + 1 < num_b else 0.0
                    total += (1.0 - fa) * (low + fb * (high - low))
                if i + 1 < num_a:
                    low = values[i + 1, n, j] if j >= 0 else 0.0
                    high = values[i + 1, n, j + 1] if j + 1 < num_b else 0.0
                    total += fa * (low + fb * (high - low))
            image[row, column] = total
    return image
