"""The GPU kernel in Triton: all channels of all jobs of a kind in one launch.

A program holds a tile of pixels and walks the slabs of voxels that its rays cross. Voxels are read in their own dtype,
clipped into bands and split into masks, then interpolated and added to one sum per channel, so a volume is read once
for all channels. Two walks give the same answer:

- ``_walk_slices`` for views whose detector axes lie along the volume's own. The sample along a row of pixels is the
  same for all rows between two slices: a slice is interpolated along ``b`` once per tile and added to every row with
  its weight. Per pixel, slab and channel about three multiplications remain, where a gather has four loads besides.
- ``_walk_rays`` for all others: four neighbours per pixel and slab.

Columns of pixels follow ``b``, along which voxels lie together in memory, so the threads of a warp read neighbours. A
tile is one warp: nothing waits for anything. Slabs are shared out over ``num_chunks`` programs per tile that write sums
of their own (added at the end, always in the same order), since one image has too few tiles to fill a large GPU.

Positions are found in float64 once per pixel, in the slab in the middle of the volume, and followed from there in
float32: their error is below 1e-4 voxels for volumes of up to 1024 voxels a side, however far away the source is.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from drrx.projector.device_job import DeviceJob

#: Rows and columns of a tile, and warps: for slices four columns of eight rows per thread, so that five channels of
#: sums (160) still fit its registers; for rays two pixels per thread, a tile as square as whole warps allow.
SLICES_TILE, RAYS_TILE = (8, 128, 1), (8, 32, 4)
#: Programs that fill the largest GPUs (132 to 160 processors with up to 32 of them each); more only write more sums.
ENOUGH_PROGRAMS = 4096
MAX_CHUNKS = 4


@triton.jit
def _hat(x):  # type: ignore[no-untyped-def]
    return tl.maximum(1.0 - tl.abs(x), 0.0)


@triton.jit
def _find_pair(x, size):  # type: ignore[no-untyped-def]
    """Lower one of the two voxels nearest to ``x`` inside the grid, and both weights: 0 from one voxel outside on."""
    low = tl.floor(tl.minimum(tl.maximum(x, 0.0), tl.maximum(size - 2, 0).to(tl.float32)))
    return low.to(tl.int32), _hat(x - low), tl.where(size > 1, _hat(x - low - 1.0), 0.0)


@triton.jit
def _read(grid, offset, bounds, num_masks: tl.constexpr):  # type: ignore[no-untyped-def]
    """All channels of the voxels at ``offset``."""
    channels = ()
    if len(bounds) > 0:
        value = tl.load(grid[0] + offset).to(tl.float32)
        for band in tl.static_range(len(bounds)):
            clipped = tl.minimum(tl.maximum(value, bounds[band][0]), bounds[band][1])
            channels = channels + (clipped - bounds[band][2],)
    if num_masks > 0:
        word = tl.load(grid[1] + offset).to(tl.int32)
        for mask in tl.static_range(num_masks):
            channels = channels + (((word >> mask) & 1).to(tl.float32),)
    return channels


@triton.jit
def _add(total, weight, channels):  # type: ignore[no-untyped-def]
    """Add each channel, weighted, to its sum."""
    added = ()
    for channel in tl.static_range(len(total)):
        added = added + (total[channel] + weight * channels[channel],)
    return added


@triton.jit
def _find_slices(low, high, size):  # type: ignore[no-untyped-def]
    """First slice with a weight at a position from ``low`` to ``high``, and one past the last."""
    limit = size.to(tl.float32)
    begin, last = tl.minimum(tl.maximum(low, 0.0), limit), tl.minimum(tl.maximum(high, -1.0), limit - 1)
    return tl.floor(begin).to(tl.int32), tl.ceil(last).to(tl.int32) + 1


@triton.jit
def _walk_slices(total, grid, bounds, slabs, a, b, top, bottom, num_masks: tl.constexpr):  # type: ignore[no-untyped-def]
    """Interpolate each slice that the tile needs along ``b`` and share it out over the rows."""
    _, _, size_a, size_n, size_b, stride_a, stride_n = grid
    for n in range(slabs[0], slabs[1]):
        step = (n - size_n // 2).to(tl.float32)
        low_b, weight_low, weight_high = _find_pair(b[0] + step * b[1], size_b)
        at_a = a[0] + step * a[1]
        one, other = top[0] + step * top[1], bottom[0] + step * bottom[1]
        begin, end = _find_slices(tl.minimum(one, other), tl.maximum(one, other), size_a)
        for slice_a in range(begin, end):
            offset = slice_a * stride_a + n * stride_n + low_b
            low = _read(grid, offset, bounds, num_masks)
            high = _read(grid, offset + tl.where(size_b > 1, 1, 0), bounds, num_masks)
            line = ()
            for channel in tl.static_range(len(total)):
                line = line + (weight_low * low[channel] + weight_high * high[channel],)
            total = _add(total, _hat(at_a - slice_a), line)
    return total


@triton.jit
def _walk_rays(total, grid, bounds, slabs, first, past, a, b, num_masks: tl.constexpr):  # type: ignore[no-untyped-def]
    """Gather the four neighbours of each pixel's ray in each slab."""
    _, _, size_a, size_n, size_b, stride_a, stride_n = grid
    next_a, next_b = tl.where(size_a > 1, stride_a, 0), tl.where(size_b > 1, 1, 0)
    for n in range(slabs[0], slabs[1]):
        step = (n - size_n // 2).to(tl.float32)
        low_a, weight_a, weight_next_a = _find_pair(a[0] + step * a[1], size_a)
        low_b, weight_b, weight_next_b = _find_pair(b[0] + step * b[1], size_b)
        is_between = (n >= first) & (n < past)
        weight_a, weight_next_a = tl.where(is_between, weight_a, 0.0), tl.where(is_between, weight_next_a, 0.0)
        offset = low_a * stride_a + low_b + n * stride_n
        total = _add(total, weight_a * weight_b, _read(grid, offset, bounds, num_masks))
        total = _add(total, weight_a * weight_next_b, _read(grid, offset + next_b, bounds, num_masks))
        total = _add(total, weight_next_a * weight_b, _read(grid, offset + next_a, bounds, num_masks))
        total = _add(total, weight_next_a * weight_next_b, _read(grid, offset + next_a + next_b, bounds, num_masks))
    return total


@triton.jit
def _find_ray(floats, axis: tl.constexpr, row, column):  # type: ignore[no-untyped-def]
    """From the source to a pixel along ``axis``, in voxels, float64."""
    first = floats + 4 * axis
    return tl.load(first + 1) + row * tl.load(first + 2) + column * tl.load(first + 3)


@triton.jit
def _find_line(floats, axis: tl.constexpr, row, column, middle):  # type: ignore[no-untyped-def]
    """Position along ``axis`` in the middle slab, and its change per slab, in float64."""
    slope = _find_ray(floats, axis, row, column) / _find_ray(floats, 1, row, column)
    return tl.load(floats + 4 * axis) + (middle - tl.load(floats + 4)) * slope, slope


@triton.jit
def _find_crossing(line, size, middle):  # type: ignore[no-untyped-def]
    """First and last slab in which a line may be less than one voxel outside ``size`` voxels, in float64."""
    slope = tl.where(tl.abs(line[1]) < 1e-12, 1e-12, line[1])
    enter, leave = (-1.0 - line[0]) / slope, (size - line[0]) / slope
    return middle + tl.floor(tl.minimum(enter, leave)), middle + tl.ceil(tl.maximum(enter, leave))


@triton.jit
def _find_span(floats, row, column):  # type: ignore[no-untyped-def]
    """First and last slab between source and detector (0 < depth <= 1), in float64."""
    source, ray = tl.load(floats + 4), _find_ray(floats, 1, row, column)
    first = tl.where(ray > 0, tl.floor(source) + 1, tl.ceil(source + ray))
    return first, tl.where(ray > 0, tl.floor(source + ray), tl.ceil(source) - 1)


@triton.jit
def _find_slabs(span, across_a, across_b, size_n):  # type: ignore[no-untyped-def]
    """First slab in which a ray counts, and one past the last."""
    first = tl.maximum(span[0], tl.maximum(across_a[0], across_b[0]))
    last = tl.minimum(span[1], tl.minimum(across_a[1], across_b[1]))
    limit = size_n.to(tl.float64)
    begin, end = tl.minimum(tl.maximum(first, 0.0), limit), tl.minimum(tl.maximum(last + 1, 0.0), limit)
    return begin.to(tl.int32), end.to(tl.int32)


@triton.jit
def _min(x):  # type: ignore[no-untyped-def]
    return tl.min(tl.min(x, axis=1), axis=0)


@triton.jit
def _max(x):  # type: ignore[no-untyped-def]
    return tl.max(tl.max(x, axis=1), axis=0)


@triton.jit
def _share_slabs(begin, end):  # type: ignore[no-untyped-def]
    """The part of a tile's slabs that this program walks."""
    length = tl.cdiv(tl.maximum(end - begin, 0), tl.num_programs(1))
    begin += tl.program_id(1) * length
    return begin, tl.minimum(begin + length, end)


@triton.jit
def _round(line):  # type: ignore[no-untyped-def]
    return line[0].to(tl.float32), line[1].to(tl.float32)


@triton.jit
def _find_mm_per_slab(floats, slope_a, slope_b):  # type: ignore[no-untyped-def]
    """Length of a ray between two slabs, from the metric ``aa, nn, bb, an, nb, ab`` of the grid."""
    metric = floats + 12
    aa, nn, bb = tl.load(metric).to(tl.float32), tl.load(metric + 1).to(tl.float32), tl.load(metric + 2).to(tl.float32)
    an, nb = tl.load(metric + 3).to(tl.float32), tl.load(metric + 4).to(tl.float32)
    ab = tl.load(metric + 5).to(tl.float32)
    return tl.sqrt(nn + slope_a * (aa * slope_a + 2 * an) + slope_b * (bb * slope_b + 2 * nb + 2 * ab * slope_a))


@triton.jit
def _load_grid(integers, dtype: tl.constexpr):  # type: ignore[no-untyped-def]
    """Values, bits, size_a, size_n, size_b, stride_a, stride_n."""
    values = tl.load(integers).to(tl.pointer_type(dtype))
    bits = tl.load(integers + 1).to(tl.pointer_type(tl.uint8))
    size_a, size_n, size_b = tl.load(integers + 2), tl.load(integers + 3), tl.load(integers + 4)
    stride_a, stride_n = tl.load(integers + 5), tl.load(integers + 6)
    return (
        values, bits, size_a.to(tl.int32), size_n.to(tl.int32), size_b.to(tl.int32),
        stride_a.to(tl.int32), stride_n.to(tl.int32),
    )  # fmt: skip


@triton.jit
def _load_bounds(floats, num_bands: tl.constexpr):  # type: ignore[no-untyped-def]
    """Low and high end of each band, and what it takes off."""
    bounds = ()
    for band in tl.static_range(num_bands):
        first = floats + 18 + 3 * band
        one = tl.load(first).to(tl.float32), tl.load(first + 1).to(tl.float32), tl.load(first + 2).to(tl.float32)
        bounds = bounds + (one,)
    return bounds


@triton.jit
def _project_slices(total, grid, bounds, floats, row, column, edges, num_masks: tl.constexpr):  # type: ignore[no-untyped-def]
    middle = grid[3] // 2
    line_a, line_b = _find_line(floats, 0, row, 0, middle), _find_line(floats, 2, 0, column, middle)
    across_a, across_b = _find_crossing(line_a, grid[2], middle), _find_crossing(line_b, grid[4], middle)
    begin, end = _find_slabs(
        _find_span(floats, 0, 0), (_min(across_a[0]), _max(across_a[1])), (_min(across_b[0]), _max(across_b[1])),
        grid[3],
    )  # fmt: skip
    a, b = _round(line_a), _round(line_b)
    top = _round(_find_line(floats, 0, edges[0], 0, middle))
    bottom = _round(_find_line(floats, 0, edges[1], 0, middle))
    total = _walk_slices(total, grid, bounds, _share_slabs(begin, end), a, b, top, bottom, num_masks)
    return _scale(total, _find_mm_per_slab(floats, a[1], b[1]))


@triton.jit
def _project_rays(total, grid, bounds, floats, row, column, num_masks: tl.constexpr):  # type: ignore[no-untyped-def]
    middle = grid[3] // 2
    line_a, line_b = _find_line(floats, 0, row, column, middle), _find_line(floats, 2, row, column, middle)
    across_a, across_b = _find_crossing(line_a, grid[2], middle), _find_crossing(line_b, grid[4], middle)
    begin, end = _find_slabs(_find_span(floats, row, column), across_a, across_b, grid[3])
    a, b = _round(line_a), _round(line_b)
    total = _walk_rays(total, grid, bounds, _share_slabs(_min(begin), _max(end)), begin, end, a, b, num_masks)
    return _scale(total, _find_mm_per_slab(floats, a[1], b[1]))


@triton.jit
def _scale(total, factor):  # type: ignore[no-untyped-def]
    scaled = ()
    for channel in tl.static_range(len(total)):
        scaled = scaled + (total[channel] * factor,)
    return scaled


@triton.jit
def project_tiles(  # type: ignore[no-untyped-def]
    out, out_size, tiles, integers, floats,
    dtype: tl.constexpr, num_bands: tl.constexpr, num_masks: tl.constexpr, is_separable: tl.constexpr,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr,
):  # fmt: skip
    """Write all channels of one tile of pixels, summed over one share of its slabs.

    ``tiles`` int32 ``[program, (job, first row, first column)]``; ``integers`` int64 and ``floats`` float64 hold one
    row per job, as ``drrx.projector.triton_launch`` lays them out; ``out`` float32, one image stack after the other,
    and that again for every share.
    """
    tile = tiles + 3 * tl.program_id(0)
    job, first_row, first_column = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    row, column = first_row + tl.arange(0, tile_rows)[:, None], first_column + tl.arange(0, tile_columns)[None, :]
    integers, floats = integers + job * 10, floats + job * (18 + 3 * num_bands)
    grid, bounds = _load_grid(integers, dtype), _load_bounds(floats, num_bands)
    total = ()
    for _ in tl.static_range(num_bands + num_masks):
        total = total + (tl.zeros([tile_rows, tile_columns], tl.float32),)
    if is_separable:
        edges = first_row, first_row + tile_rows - 1
        total = _project_slices(total, grid, bounds, floats, row, column, edges, num_masks)
    else:
        total = _project_rays(total, grid, bounds, floats, row, column, num_masks)
    num_rows, num_columns = tl.load(integers + 8).to(tl.int32), tl.load(integers + 9).to(tl.int32)
    out += tl.program_id(1).to(tl.int64) * out_size + tl.load(integers + 7)
    for channel in tl.static_range(num_bands + num_masks):
        where = out + (channel * num_rows + row) * num_columns + column
        tl.store(where, total[channel], mask=(row < num_rows) & (column < num_columns))
