# ruff: noqa: RUF005  (Triton joins tuples, but cannot unpack them)
"""The GPU kernel in Triton: all channels of all jobs of a kind in one launch.

A program holds a tile of pixels and walks the slabs of voxels that its rays cross. Voxels are read in their own dtype,
clipped into bands and split into masks, then interpolated and added to one sum per channel, so a volume is read once
for all channels. Two walks give the same answer:

- ``_walk_slices`` for views whose detector axes lie along the volume's own. There all rows of pixels between two slices
  share what the slices look like along the columns: a slice is interpolated along ``b`` once per tile, and added to
  every row with that row's weight.
- ``_walk_rays`` for all others: four neighbours per pixel and slab.

Columns of pixels follow ``b``, along which voxels lie together in memory, so the threads of a warp read neighbours. The
slabs of a tile are shared out over several programs that write sums of their own, since one image has too few tiles to
fill a large GPU.
"""

import triton
import triton.language as tl

from drrx.projector.triton_rays import (
    find_crossing,
    find_line,
    find_max,
    find_min,
    find_mm_per_slab,
    find_slabs,
    find_span,
    share_slabs,
    to_float32,
)


@triton.jit
def _hat(x):
    return tl.maximum(1.0 - tl.abs(x), 0.0)


@triton.jit
def _find_pair(x, size):
    """Lower one of the two voxels nearest to ``x`` inside the grid, and both weights: 0 from one voxel outside on."""
    low = tl.floor(tl.minimum(tl.maximum(x, 0.0), tl.maximum(size - 2, 0).to(tl.float32)))
    return low.to(tl.int32), _hat(x - low), tl.where(size > 1, _hat(x - low - 1.0), 0.0)


@triton.jit
def _read(grid, offset, bounds, num_masks: tl.constexpr):
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
def _add(total, weight, channels):
    """Add each channel, weighted, to its sum."""
    added = ()
    for channel in tl.static_range(len(total)):
        added = added + (total[channel] + weight * channels[channel],)
    return added


@triton.jit
def _find_slices(low, high, size):
    """First slice with a weight at a position from ``low`` to ``high``, and one past the last."""
    limit = size.to(tl.float32)
    begin, last = tl.minimum(tl.maximum(low, 0.0), limit), tl.minimum(tl.maximum(high, -1.0), limit - 1)
    return tl.floor(begin).to(tl.int32), tl.ceil(last).to(tl.int32) + 1


@triton.jit
def _walk_slices(total, grid, bounds, slabs, a, b, top, bottom, num_masks: tl.constexpr):
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
def _walk_rays(total, grid, bounds, slabs, first, past, a, b, num_masks: tl.constexpr):
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
def _load_grid(integers, dtype: tl.constexpr):
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
def _load_bounds(floats, num_bands: tl.constexpr):
    """Low and high end of each band, and what it takes off."""
    bounds = ()
    for band in tl.static_range(num_bands):
        first = floats + 18 + 3 * band
        one = tl.load(first).to(tl.float32), tl.load(first + 1).to(tl.float32), tl.load(first + 2).to(tl.float32)
        bounds = bounds + (one,)
    return bounds


@triton.jit
def _project_slices(total, grid, bounds, floats, row, column, edges, num_masks: tl.constexpr):
    middle = grid[3] // 2
    line_a, line_b = find_line(floats, 0, row, 0, middle), find_line(floats, 2, 0, column, middle)
    across_a, across_b = find_crossing(line_a, grid[2], middle), find_crossing(line_b, grid[4], middle)
    across_a = find_min(across_a[0]), find_max(across_a[1])
    across_b = find_min(across_b[0]), find_max(across_b[1])
    begin, end = find_slabs(find_span(floats, 0, 0), across_a, across_b, grid[3])
    a, b = to_float32(line_a), to_float32(line_b)
    top = to_float32(find_line(floats, 0, edges[0], 0, middle))
    bottom = to_float32(find_line(floats, 0, edges[1], 0, middle))
    total = _walk_slices(total, grid, bounds, share_slabs(begin, end), a, b, top, bottom, num_masks)
    return _scale(total, find_mm_per_slab(floats, a[1], b[1]))


@triton.jit
def _project_rays(total, grid, bounds, floats, row, column, num_masks: tl.constexpr):
    middle = grid[3] // 2
    line_a, line_b = find_line(floats, 0, row, column, middle), find_line(floats, 2, row, column, middle)
    across_a, across_b = find_crossing(line_a, grid[2], middle), find_crossing(line_b, grid[4], middle)
    begin, end = find_slabs(find_span(floats, row, column), across_a, across_b, grid[3])
    a, b = to_float32(line_a), to_float32(line_b)
    total = _walk_rays(total, grid, bounds, share_slabs(find_min(begin), find_max(end)), begin, end, a, b, num_masks)
    return _scale(total, find_mm_per_slab(floats, a[1], b[1]))


@triton.jit
def _scale(total, factor):
    scaled = ()
    for channel in tl.static_range(len(total)):
        scaled = scaled + (total[channel] * factor,)
    return scaled


@triton.jit(do_not_specialize=["out_size"])
def project_tiles(
    out, out_size, tiles, integers, floats,
    dtype: tl.constexpr, num_bands: tl.constexpr, num_masks: tl.constexpr, is_separable: tl.constexpr,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr,
):  # fmt: skip
    """Write all channels of one tile of pixels, summed over one share of its slabs.

    ``tiles`` int32 ``[program, (job, first row, first column)]``; ``integers`` int64 and ``floats`` float64 hold one
    row per job, as ``drrx.projector.triton_launch`` lays them out; ``out`` float32 ``[share, out_size]``, in it the
    image stacks one after the other.
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
