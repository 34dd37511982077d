"""Where the rays of a tile of pixels run in the volume: parts of the Triton kernel that need no voxels.

``floats`` points to a job's row of numbers, float64: along ``a``, ``n`` and ``b`` each the source, then pixel (0, 0), a
row step and a column step relative to it, all in voxels; then the metric ``aa, nn, bb, an, nb, ab`` in mm2.

Positions are found in float64 once per pixel, in the slab in the middle of the volume, and followed from there in
float32: their error stays below 1e-4 voxels for volumes of up to 1024 voxels a side, however far away the source is.
"""

import triton
import triton.language as tl


@triton.jit
def find_ray(floats, axis: tl.constexpr, row, column):
    """From the source to a pixel along ``axis``, in voxels, float64."""
    first = floats + 4 * axis
    return tl.load(first + 1) + row * tl.load(first + 2) + column * tl.load(first + 3)


@triton.jit
def find_line(floats, axis: tl.constexpr, row, column, middle):
    """Position along ``axis`` in the middle slab, and its change per slab, in float64."""
    slope = find_ray(floats, axis, row, column) / find_ray(floats, 1, row, column)
    return tl.load(floats + 4 * axis) + (middle - tl.load(floats + 4)) * slope, slope


@triton.jit
def find_crossing(line, size, middle):
    """First and last slab in which a line may be less than one voxel outside ``size`` voxels, in float64."""
    slope = tl.where(tl.abs(line[1]) < 1e-12, 1e-12, line[1])
    enter, leave = (-1.0 - line[0]) / slope, (size - line[0]) / slope
    return middle + tl.floor(tl.minimum(enter, leave)), middle + tl.ceil(tl.maximum(enter, leave))


@triton.jit
def find_span(floats, row, column):
    """First and last slab between source and detector (0 < depth <= 1), in float64."""
    source, ray = tl.load(floats + 4), find_ray(floats, 1, row, column)
    first = tl.where(ray > 0, tl.floor(source) + 1, tl.ceil(source + ray))
    return first, tl.where(ray > 0, tl.floor(source + ray), tl.ceil(source) - 1)


@triton.jit
def find_slabs(span, across_a, across_b, size_n):
    """First slab in which a ray counts, and one past the last."""
    first = tl.maximum(span[0], tl.maximum(across_a[0], across_b[0]))
    last = tl.minimum(span[1], tl.minimum(across_a[1], across_b[1]))
    limit = size_n.to(tl.float64)
    begin, end = tl.minimum(tl.maximum(first, 0.0), limit), tl.minimum(tl.maximum(last + 1, 0.0), limit)
    return begin.to(tl.int32), end.to(tl.int32)


@triton.jit
def find_min(x):
    """Of a tile."""
    return tl.min(tl.min(x, axis=1), axis=0)


@triton.jit
def find_max(x):
    """Of a tile."""
    return tl.max(tl.max(x, axis=1), axis=0)


@triton.jit
def share_slabs(begin, end):
    """The part of a tile's slabs that this program walks."""
    length = tl.cdiv(tl.maximum(end - begin, 0), tl.num_programs(1))
    begin += tl.program_id(1) * length
    return begin, tl.minimum(begin + length, end)


@triton.jit
def to_float32(line):
    """Round a line's position and slope."""
    return line[0].to(tl.float32), line[1].to(tl.float32)


@triton.jit
def find_mm_per_slab(floats, slope_a, slope_b):
    """Length of a ray between two slabs, from the metric ``aa, nn, bb, an, nb, ab`` of the grid."""
    metric = floats + 12
    aa, nn, bb = tl.load(metric).to(tl.float32), tl.load(metric + 1).to(tl.float32), tl.load(metric + 2).to(tl.float32)
    an, nb = tl.load(metric + 3).to(tl.float32), tl.load(metric + 4).to(tl.float32)
    ab = tl.load(metric + 5).to(tl.float32)
    return tl.sqrt(nn + slope_a * (aa * slope_a + 2 * an) + slope_b * (bb * slope_b + 2 * nb + 2 * ab * slope_a))
