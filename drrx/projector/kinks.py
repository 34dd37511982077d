"""The CPU kernel of untilted views: Joseph's sum, written as kinks.

In an untilted view every slab of voxels maps onto the detector by scale and shift. Joseph's sum along a detector column
is then piecewise linear, with a kink where the ray crosses a slice centre: adding each slice's second difference at its
kink and summing twice gives the same image for the cost of the voxels, not of the pixels. Linear maps commute, so the
second difference is taken between voxels, before anything is interpolated, and where it is zero nothing is done.

Sums are float64: of int16 values the changes are then exact, and the double sum leaves no trend behind a body.

Axes of the arrays: ``a`` across the rays and along the detector's columns (the slices of a chest), ``n`` along the
rays, ``b`` across the rays and along the detector's rows, growing with the column. Geometry is in these indices.
"""

import numpy as np
from numba import njit, prange

TILE = 256  # detector columns swept at once
CHUNK = 16  # slices swept at once: the detector rows that they touch stay in the L2 cache
BLOCK = 32  # voxels that are looked at together in the search for the ends of a line


@njit(cache=True, inline="always")
def _is_empty(values, labels, lowest, highest, a, n, start, stop):  # type: ignore[no-untyped-def]
    used, value_part = False, values[a, n, start:stop]
    for b in range(value_part.size):
        used |= (value_part[b] < lowest) | (value_part[b] > highest)
    if labels.size > 0 and not used:
        label_part = labels[a, n, start:stop]
        for b in range(label_part.size):
            used |= label_part[b] != 0
    return not used


@njit(parallel=True, cache=True)
def find_extents(values, labels, lowest, highest):  # type: ignore[no-untyped-def]
    """First and one past the last voxel of every line that may add something; (num_b, 0) where none does.

    Values in ``lowest..highest`` and label 0 add nothing.
    """
    num_a, num_n, num_b = values.shape
    extents = np.empty((num_a, num_n, 2), np.int32)
    for a in prange(num_a):
        for n in range(num_n):
            begin, end = 0, num_b
            while begin < end and _is_empty(values, labels, lowest, highest, a, n, begin, min(begin + BLOCK, end)):
                begin += BLOCK
            while begin < end and _is_empty(values, labels, lowest, highest, a, n, max(end - BLOCK, begin), end):
                end -= BLOCK
            extents[a, n, 0], extents[a, n, 1] = (begin, end) if begin < end else (num_b, 0)
    return extents


@njit(fastmath=True, cache=True, inline="always")
def _add_change(change, span, cut, picked, rows, shares):  # type: ignore[no-untyped-def]
    """Interpolate the places ``1..span`` of ``change`` (0 around them) at the columns; add it to two rows of kinks."""
    first, last = 1, span
    while first <= last and change[first] == 0:
        first += 1
    while first <= last and change[last] == 0:
        last -= 1
    if first > last:
        return
    index, weight, origin, step = cut
    share_here, share_after = shares
    start = max(0, np.int64(np.ceil((first - 1 - origin) / step)))
    stop = min(index.size, np.int64(np.floor((last + 1 - origin) / step)) + 1)
    change[last + 2] = 0.0
    # Compilers turn loops from 0 over whole slices into vectors; only the copy of neighbours is a gather.
    index, weight, here, after = index[start:stop], weight[start:stop], rows[0][start:stop], rows[1][start:stop]
    for c in range(index.size):
        picked[2 * c], picked[2 * c + 1] = change[index[c]], change[index[c] + np.uint64(1)]
    for c in range(index.size):
        value = picked[2 * c] + weight[c] * (picked[2 * c + 1] - picked[2 * c])
        here[c] += share_here * value
        after[c] += share_after * value


@njit(fastmath=True, cache=True)
def _sweep_tile(kinks, start, values, labels, bands, offsets, bits, extents, source, ray00, row_step, column_step):  # type: ignore[no-untyped-def]
    """Fill the ``kinks`` of the detector columns from ``start`` on; see ``_sum_twice``."""
    num_a, num_n, num_b = values.shape
    num_channels, num_rows, width = kinks.shape[0], kinks.shape[1] - 2, kinks.shape[2]
    num_bands = offsets.size
    index, weight = np.empty(width, np.uint64), np.empty(width)
    picked = np.empty(2 * width)
    lines, marks, change = np.zeros((3, num_bands, num_b + 4)), np.zeros((3, num_b + 4), np.uint8), np.zeros(num_b + 4)
    for a0 in range(-1, num_a + 1, CHUNK):
        a1 = min(a0 + CHUNK, num_a + 1)
        for n in range(num_n):
            depth = (n - source[1]) / ray00[1]
            if depth <= 0 or depth > 1:
                continue
            # Lines whose hat, one line up and down, meets the rows; without the others nothing changes there.
            row0 = (-source[0] / depth - ray00[0]) / row_step[0]
            rows_per_a = 1.0 / (depth * row_step[0])
            ends = -row0 / rows_per_a, (num_rows - 1 - row0) / rows_per_a
            lowest, highest = int(max(np.floor(min(ends)), 0)), int(min(np.ceil(max(ends)), num_a - 1))
            if highest < a0 - 1 or lowest > a1:
                continue
            # The voxels that the tile's columns cut, of those that may add something.
            begin, end = np.int64(num_b), np.int64(0)
            for a in range(max(a0 - 1, lowest), min(a1, highest) + 1):
                begin, end = min(begin, extents[a, n, 0]), max(end, extents[a, n, 1])
            step = depth * column_step[2]
            b0 = source[2] + depth * ray00[2] + step * start
            begin, end = max(begin, np.int64(np.floor(b0))), min(end, np.int64(np.floor(b0 + step * (width - 1))) + 2)
            if begin >= end:
                continue
            # Voxel b has place b - begin + 1 in a line; the places before the first and after the last are 0.
            span = end - begin
            origin = b0 - begin + 1
            for c in range(width):
                place = min(max(origin + step * c, 0.0), np.float64(span + 1))
                index[c], weight[c] = np.uint64(np.floor(place)), place - np.floor(place)
            cut = index, weight, origin, step
            lines[:, :, : span + 2] = 0.0
            marks[:, : span + 2] = 0
            per_row = abs(depth * row_step[0])
            for a in range(a0 - 2, a1):
                # Line a + 1 comes in; with it the change of slope at line a is known.
                before, here, after = (a + 5) % 3, (a + 6) % 3, (a + 7) % 3
                is_filled = a + 1 >= lowest and a + 1 <= highest and extents[a + 1, n, 1] > 0
                for q in range(num_bands):
                    line, low, high, offset = lines[after, q], bands[q, 0], bands[q, 1], offsets[q]
                    if is_filled:
                        value_line = values[a + 1, n, begin:end]
                        for b in range(span):
                            line[b + 1] = min(max(np.float64(value_line[b]), low), high) - offset
                    else:
                        line[: span + 2] = 0.0
                if num_channels > num_bands:
                    if is_filled:
                        label_line = labels[a + 1, n, begin:end]
                        for b in range(span):
                            marks[after, b + 1] = bits[label_line[b]]
                    else:
                        marks[after, : span + 2] = 0
                row = row0 + a * rows_per_a
                if a < a0 or row >= num_rows - 1:
                    continue
                # A kink before the first row adds to the value there and to the slope from there on.
                share = (row - np.floor(row)) * per_row
                shares = (per_row - share, share) if row >= 0 else (-row * per_row, per_row)
                r = np.int64(np.floor(row)) + 1 if row >= 0 else 0
                differs = 0
                if num_channels > num_bands:
                    for k in range(1, span + 1):
                        differs |= (marks[before, k] ^ marks[here, k]) | (marks[here, k] ^ marks[after, k])
                for q in range(num_channels):
                    bit = q - num_bands
                    if bit < 0:
                        line_before, line_here, line_after = lines[before, q], lines[here, q], lines[after, q]
                        for k in range(1, span + 1):
                            change[k] = (line_before[k] - line_here[k]) + (line_after[k] - line_here[k])
                    elif differs >> bit & 1:
                        for k in range(1, span + 1):
                            twice = marks[here, k] >> bit & 1
                            change[k] = (marks[before, k] >> bit & 1) + (marks[after, k] >> bit & 1) - 2 * twice
                    else:
                        continue
                    change[span + 1] = 0.0
                    _add_change(change, span, cut, picked, (kinks[q, r], kinks[q, r + 1]), shares)


@njit(fastmath=True, cache=True)
def _sum_twice(kinks, start, image):  # type: ignore[no-untyped-def]
    """Write the columns from ``start`` on: row 0 of ``kinks`` is the first value, row r + 1 the slope's change at r."""
    num_channels, num_rows, _ = image.shape
    width = kinks.shape[2]
    value, slope = np.empty(width), np.empty(width)
    for q in range(num_channels):
        value[:] = kinks[q, 0]
        slope[:] = 0.0
        for r in range(num_rows):
            for c in range(width):
                image[q, r, start + c] = value[c]
                slope[c] += kinks[q, r + 1, c]
                value[c] += slope[c]


@njit(parallel=True, cache=True)
def project_by_kinks(  # type: ignore[no-untyped-def]
    values, labels, bands, offsets, bits, num_masks, extents, source, ray00, row_step, column_step, shape
):
    """Joseph's sums in units of slabs, float32 ``[channel, row, column]``; arguments as in ``cpu.py``."""
    num_rows, num_columns = shape
    num_channels = offsets.size + num_masks
    image = np.empty((num_channels, num_rows, num_columns), np.float32)
    for tile in prange((num_columns + TILE - 1) // TILE):
        start = tile * TILE
        kinks = np.zeros((num_channels, num_rows + 2, min(TILE, num_columns - start)))
        _sweep_tile(kinks, start, values, labels, bands, offsets, bits, extents, source, ray00, row_step, column_step)
        _sum_twice(kinks, start, image)
    return image
