"""Thin tapered strands: spicules of a nodule, tags to the pleura, vessels that converge on it."""

from math import pi

import numpy as np

from drrx.nodule.patch import Grid
from drrx.nodule.surface import Body, FloatArray, share_inside
from drrx.records.nodule_shape import Spicule

ROOT = 0.7  # a strand starts at this share of the way to the surface, so that none hangs loose
FLARE = 1.0  # the root is wider by this many bases


def strand_radius_mm(strand: Spicule, share: FloatArray) -> FloatArray:
    """Return the radius at shares 0..1 of the length: linear from base to tip, and wider where it leaves the body."""
    tip, base, rest = strand.tip_mm / 2, strand.base_mm / 2, 1 - share
    return tip + (base - tip) * rest + FLARE * base * rest**4


def strand_volume_mm3(strand: Spicule) -> float:
    """Volume outside the body, in mm3: the integral of ``pi r^2`` over the length."""
    tip, cone, flare = strand.tip_mm / 2, (strand.base_mm - strand.tip_mm) / 2, FLARE * strand.base_mm / 2
    squares = tip**2 + cone**2 / 3 + flare**2 / 9 + tip * cone + flare * (2 * tip / 5 + cone / 3)
    return pi * strand.length_mm * squares


def draw_strand(share: Grid, axes_mm: tuple[FloatArray, ...], body: Body, strand: Spicule) -> None:
    """Draw a strand into ``share`` by maximum.

    ``axes_mm`` are the coordinates of the voxels along (z, y, x), from the nodule's centre, equally spaced.
    """
    u, edge = np.array(strand.direction), float(axes_mm[0][1] - axes_mm[0][0])
    surface = float(body.reach_mm(u[None])[0])
    start, stop = ROOT * surface, surface + strand.length_mm
    ends = np.stack([u * start, u * stop])
    widest = (1 + FLARE) * strand.base_mm
    low, high = ends.min(0) - widest, ends.max(0) + widest
    window = tuple(slice(*np.searchsorted(axis, (low[i], high[i]))) for axis, i in zip(axes_mm, (2, 1, 0), strict=True))
    z, y, x = np.meshgrid(*(axis[w] for axis, w in zip(axes_mm, window, strict=True)), indexing="ij")
    along = np.clip(x * u[0] + y * u[1] + z * u[2], start, stop)
    away = np.sqrt((x - along * u[0]) ** 2 + (y - along * u[1]) ** 2 + (z - along * u[2]) ** 2)
    radius = strand_radius_mm(strand, np.clip((along - surface) / strand.length_mm, 0, 1))
    drawn = share_inside(radius - away, edge) * np.minimum(1, (2 * radius / edge) ** 2)
    drawn *= np.clip((along - start) / (surface - start), 0, 1)  # a body that fades to its rim would show the root
    np.maximum(share[window], drawn.astype(np.float32), out=share[window])
