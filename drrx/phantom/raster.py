"""Kernels that put shapes on the CT grid with partial volume at their edges (numba, single thread)."""

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

# Not `fastmath`: what numba has just compiled would then round otherwise than the same code out of its cache.
_jit: Any = nb.njit(cache=True, nogil=True)


@_jit
def sample_row(field, origin, step, z, y, row):  # type: ignore[no-untyped-def]  # noqa: D103
    # Interpolate a coarse field [z, y, x] along one line of constant z, y (world mm) into ``row``.
    nz, ny, nx = field.shape
    fz = min(max((z - origin[2]) / step, 0.0), nz - 1.001)
    fy = min(max((y - origin[1]) / step, 0.0), ny - 1.001)
    k, j = int(fz), int(fy)
    wz, wy = np.float32(fz - k), np.float32(fy - j)
    one = np.float32(1.0)
    a, b, c, d = (one - wz) * (one - wy), (one - wz) * wy, wz * (one - wy), wz * wy
    for i in range(nx):
        row[i] = a * field[k, j, i] + b * field[k, j + 1, i] + c * field[k + 1, j, i] + d * field[k + 1, j + 1, i]


@_jit
def paint_fields(  # type: ignore[no-untyped-def]  # noqa: D103
    hu,
    labels,
    low,
    high,
    origin,
    spacing,
    fields,
    signs,
    offsets,
    f_origin,
    f_step,
    value,
    mix,
    label,
    width,
):
    # Paint ``value`` where the largest of sign * field + offset (mm) is negative; edges share voxels over ``width`` mm.
    count, nx = fields.shape[0], fields.shape[3]
    rows = np.zeros((count, nx), np.float32)
    for k in range(low[0], high[0]):
        z = origin[2] + k * spacing[2]
        for j in range(low[1], high[1]):
            y = origin[1] + j * spacing[1]
            for f in range(count):
                sample_row(fields[f], f_origin, f_step, z, y, rows[f])
            for i in range(low[2], high[2]):
                fx = min(max((origin[0] + i * spacing[0] - f_origin[0]) / f_step, 0.0), nx - 1.001)
                m = int(fx)
                w = np.float32(fx - m)
                gap = np.float32(-1e9)
                for f in range(count):
                    here = signs[f] * (rows[f, m] + w * (rows[f, m + 1] - rows[f, m])) + offsets[f]
                    gap = max(gap, here)
                part = np.float32(0.5) - gap / width
                if part <= 0:
                    continue
                part = min(part, np.float32(1.0))
                if mix:
                    hu[k, j, i] += part * (value - hu[k, j, i])
                if part >= 0.5 and label >= 0:
                    labels[k, j, i] = label


@_jit
def find_box(p, q, reach, origin, spacing, size):  # type: ignore[no-untyped-def]  # noqa: D103
    # First and one past the last index (x, y, z) of the voxels within ``reach`` mm of the segment from p to q.
    lo, hi = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for c in range(3):
        lo[c] = max(0, int(np.floor((min(p[c], q[c]) - reach - origin[c]) / spacing[c])))
        hi[c] = min(size[c], int(np.ceil((max(p[c], q[c]) + reach - origin[c]) / spacing[c])) + 1)
    return lo, hi


@_jit
def stamp_tubes(gap, origin, spacing, starts, ends, thick, wide, thick_axes, wide_axes):  # type: ignore[no-untyped-def]  # noqa: D103
    # Keep in ``gap`` [z, y, x] the least distance (mm, first order) to tubes of elliptic section.
    # thick, wide: (n, 2) half sizes at start and end along thick_axes, wide_axes (n, 3), both normal to the tube.
    nz, ny, nx = gap.shape
    for n in range(starts.shape[0]):
        p, q = starts[n], ends[n]
        e = q - p
        length = np.sqrt(np.sum(e * e)) + 1e-9
        e = e / length
        reach = max(thick[n].max(), wide[n].max()) + 2.5
        lo, hi = find_box(p, q, reach, origin, spacing, (nx, ny, nz))
        for k in range(lo[2], hi[2]):
            dz = origin[2] + k * spacing[2] - p[2]
            for j in range(lo[1], hi[1]):
                dy = origin[1] + j * spacing[1] - p[1]
                for i in range(lo[0], hi[0]):
                    dx = origin[0] + i * spacing[0] - p[0]
                    s = dx * e[0] + dy * e[1] + dz * e[2]
                    t = min(max(s / length, 0.0), 1.0)
                    over = s - t * length
                    a = thick[n, 0] + t * (thick[n, 1] - thick[n, 0])
                    b = wide[n, 0] + t * (wide[n, 1] - wide[n, 0])
                    c = min(a, b)
                    u = dx * thick_axes[n, 0] + dy * thick_axes[n, 1] + dz * thick_axes[n, 2]
                    v = dx * wide_axes[n, 0] + dy * wide_axes[n, 1] + dz * wide_axes[n, 2]
                    f = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (over / c) ** 2) + 1e-6
                    slope = np.sqrt((u / (a * a)) ** 2 + (v / (b * b)) ** 2 + (over / (c * c)) ** 2) / f + 1e-6
                    d = max((f - 1.0) / slope, -c)
                    if d < gap[k, j, i]:
                        gap[k, j, i] = d


@_jit
def paint_gap(hu, labels, gap, low, outer, inner, shell_mm, width, label):  # type: ignore[no-untyped-def]  # noqa: D103
    # Paint a distance box at voxel ``low``: ``outer`` HU in a shell of shell_mm, ``inner`` HU below it.
    for k in range(gap.shape[0]):
        for j in range(gap.shape[1]):
            for i in range(gap.shape[2]):
                part = 0.5 - gap[k, j, i] / width
                if part <= 0:
                    continue
                part = min(part, 1.0)
                deep = min(max(0.5 - (gap[k, j, i] + shell_mm) / width, 0.0), 1.0)
                value = outer + deep * (inner - outer)
                kk, jj, ii = k + low[0], j + low[1], i + low[2]
                hu[kk, jj, ii] += part * (value - hu[kk, jj, ii])
                if part >= 0.5 and label >= 0:
                    labels[kk, jj, ii] = label


@_jit
def stamp_vessels(cover, origin, spacing, starts, ends, radii, width):  # type: ignore[no-untyped-def]  # noqa: D103
    # Keep in ``cover`` [z, y, x] the largest share of a voxel that round cones fill.
    # A tube thinner than a voxel keeps its cross-section: it is drawn wider and fainter.
    nz, ny, nx = cover.shape
    for n in range(starts.shape[0]):
        p, q = starts[n], ends[n]
        e = q - p
        square = np.sum(e * e) + 1e-9
        reach = max(radii[n, 0], radii[n, 1], 0.55 * width) + 0.6 * width
        lo, hi = find_box(p, q, reach, origin, spacing, (nx, ny, nz))
        for k in range(lo[2], hi[2]):
            dz = origin[2] + k * spacing[2] - p[2]
            for j in range(lo[1], hi[1]):
                dy = origin[1] + j * spacing[1] - p[1]
                for i in range(lo[0], hi[0]):
                    dx = origin[0] + i * spacing[0] - p[0]
                    t = min(max((dx * e[0] + dy * e[1] + dz * e[2]) / square, 0.0), 1.0)
                    r = radii[n, 0] + t * (radii[n, 1] - radii[n, 0])
                    drawn = max(r, 0.55 * width)
                    gap = np.sqrt((dx - t * e[0]) ** 2 + (dy - t * e[1]) ** 2 + (dz - t * e[2]) ** 2) - drawn
                    part = min(max(0.5 - gap / width, 0.0), 1.0) * (r / drawn) ** 2
                    if part > cover[k, j, i]:
                        cover[k, j, i] = part


@_jit
def paint_cover(hu, labels, cover, low, value, label, over):  # type: ignore[no-untyped-def]  # noqa: D103
    # Paint ``value`` by share ``cover``; labels change only where over[label] is true.
    for k in range(cover.shape[0]):
        for j in range(cover.shape[1]):
            for i in range(cover.shape[2]):
                part = cover[k, j, i]
                if part <= 0:
                    continue
                kk, jj, ii = k + low[0], j + low[1], i + low[2]
                hu[kk, jj, ii] += part * (value - hu[kk, jj, ii])
                if part >= 0.5 and over[labels[kk, jj, ii]]:
                    labels[kk, jj, ii] = label


@_jit
def add_texture(hu, labels, origin, spacing, field, f_origin, f_step, gain):  # type: ignore[no-untyped-def]  # noqa: D103
    # Add gain[label] * (coarse texture interpolated) to the CT.
    nx = field.shape[2]
    row = np.zeros(nx, np.float32)
    for k in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            sample_row(field, f_origin, f_step, origin[2] + k * spacing[2], origin[1] + j * spacing[1], row)
            for i in range(hu.shape[2]):
                scale = gain[labels[k, j, i]]
                if scale == 0:
                    continue
                fx = min(max((origin[0] + i * spacing[0] - f_origin[0]) / f_step, 0.0), nx - 1.001)
                m = int(fx)
                hu[k, j, i] += scale * (row[m] + np.float32(fx - m) * (row[m + 1] - row[m]))


def as_array(values: Any) -> NDArray[np.float64]:
    """Return ``values`` as contiguous float64, the only dtype the kernels above take for geometry."""
    return np.ascontiguousarray(values, dtype=np.float64)
