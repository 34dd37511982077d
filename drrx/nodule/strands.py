"""Thin tapered strands: spicules of a nodule, tags to the pleura, vessels that converge on it."""

from math import pi

import numpy as np

from drrx.nodule.patch import Grid
from drrx.nodule.surface import Body, FloatArray, share_inside
from drrx.records.nodule import Spicule

ROOT = 0.7  # a strand starts at this share of the way to the surface, so that none hangs loose


def strand_volume_mm3(strand: Spicule) -> float:
    """Volume of the frustum outside the body, in mm3."""
    a, b = strand.base_mm / 2, strand.tip_mm / 2
    return pi / 3 * strand.length_mm * (a * a + a * b + b * b)


def draw_strand(share: Grid, axes_mm: tuple[FloatArray, ...], body: Body, strand: Spicule) -> None:
    """Draw a strand into ``share`` by maximum.

    ``axes_mm`` are the coordinates of the voxels along (z, y, x), from the nodule's centre, equally spaced.
    """
    u, edge = np.array(strand.direction), float(axes_mm[0][1] - axes_mm[0][0])
    surface = float(body.reach_mm(u[None])[0])
    start, stop = ROOT * surface, surface + strand.length_mm
    ends = np.stack([u * start, u * stop])
    low, high = ends.min(0) - strand.base_mm, ends.max(0) + strand.base_mm
    window = tuple(slice(*np.searchsorted(axis, (low[i], high[i]))) for axis, i in zip(axes_mm, (2, 1, 0), strict=True))
    z, y, x = np.meshgrid(*(axis[w] for axis, w in zip(axes_mm, window, strict=True)), indexing="ij")
    along = np.clip(x * u[0] + y * u[1] + z * u[2], start, stop)
    away = np.sqrt((x - along * u[0]) ** 2 + (y - along * u[1]) ** 2 + (z - along * u[2]) ** 2)
    taper = np.clip((along - surface) / strand.length_mm, 0, 1)
    radius = (strand.base_mm + (strand.tip_mm - strand.base_mm) * taper) / 2
    drawn = share_inside(radius - away, edge) * np.minimum(1, (2 * radius / edge) ** 2)
    np.maximum(share[window], drawn.astype(np.float32), out=share[window])
