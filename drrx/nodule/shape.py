"""The star-shaped body of a nodule: its surface, its closed-form volume, and its occupancy on a fine grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import factorial, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import beta

from drrx.records.nodule import NoduleShape, Spicule

NUM_POLAR, NUM_AZIMUTH = 121, 240  # 1.5 deg: 0.4 mm on a 30 mm nodule, and its surface is smooth between
VOXELS_PER_DIAMETER = 18  # fewer blunt the peak of a ball's shadow by more than 0.5 %
FloatArray = NDArray[np.float64]


def find_grid_spacing_mm(diameter_mm: float, widest_mm: float) -> float:
    """Return the voxel edge for a nodule: ``widest_mm``, or finer for one so small that voxels would blunt it."""
    return min(widest_mm, diameter_mm / VOXELS_PER_DIAMETER)


def harmonic(degree: int, order: int, polar_rad: FloatArray, azimuth_rad: FloatArray) -> FloatArray:
    """Return the real orthonormal spherical harmonic of ``degree`` and ``order`` (negative order: sine).

    Recursion over the degree of the associated Legendre functions without Condon-Shortley phase.
    """
    m, x, sine = abs(order), np.cos(polar_rad), np.sin(polar_rad)
    low, high = np.zeros_like(x), sine**m * float(np.prod(np.arange(1, 2 * m, 2)))
    for l in range(m + 1, degree + 1):  # noqa: E741
        low, high = high, ((2 * l - 1) * x * high - (l + m - 1) * low) / (l - m)
    norm = sqrt((2 * degree + 1) / (4 * pi) * factorial(degree - m) / factorial(degree + m))
    if order == 0:
        return norm * high * np.ones_like(azimuth_rad)
    wave = np.cos(m * azimuth_rad) if order > 0 else np.sin(m * azimuth_rad)
    return sqrt(2) * norm * high * wave


@lru_cache(maxsize=1)
def _directions() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Polar and azimuth angle of the table, and the solid angle of each node (sums to 4 pi)."""
    polar = np.linspace(0, pi, NUM_POLAR)[:, None]
    azimuth = (np.arange(NUM_AZIMUTH) * 2 * pi / NUM_AZIMUTH)[None, :]
    edges = np.clip(np.concatenate([[0.0], (polar[1:, 0] + polar[:-1, 0]) / 2, [pi]]), 0, pi)
    solid = -np.diff(np.cos(edges))[:, None] * (2 * pi / NUM_AZIMUTH) * np.ones((1, NUM_AZIMUTH))
    return polar * np.ones_like(azimuth), azimuth * np.ones_like(polar), solid


@lru_cache(maxsize=128)
def _harmonic_table(degree: int, order: int) -> FloatArray:
    polar, azimuth, _ = _directions()
    return harmonic(degree, order, polar, azimuth)


def make_surface_table(shape: NoduleShape) -> FloatArray:
    """Return ``rho(u) / radius`` on the table of polar x azimuth angles in the nodule's axes."""
    polar, azimuth, _ = _directions()
    ratios = np.array(shape.axis_ratios) / np.prod(shape.axis_ratios) ** (1 / 3)
    units = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    ellipsoid = 1 / np.sqrt(((units / ratios[:, None, None]) ** 2).sum(0))
    field = np.zeros_like(polar)
    for degree, order, coefficient in shape.harmonics:
        field += coefficient * _harmonic_table(degree, order)
    return np.asarray(ellipsoid * np.exp(field))


def body_volume_mm3(shape: NoduleShape) -> float:
    """Volume integral of ``(1 - (r/rho)^2)^n`` over the body, without spicules, in mm3 (quadrature over directions)."""
    _, _, solid = _directions()
    cubes = float((make_surface_table(shape) ** 3 * solid).sum()) * shape.radius_mm**3
    return float(cubes * beta(1.5, shape.margin_exponent + 1) / 2)


def body_centroid_mm(shape: NoduleShape, table: FloatArray) -> FloatArray:
    """Centroid of the body relative to the origin of its directions, (x, y, z) in the nodule's axes."""
    polar, azimuth, solid = _directions()
    n = shape.margin_exponent
    units = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    first = (units * (table**4 * solid)).sum((1, 2)) * beta(2.0, n + 1) / 2
    return np.asarray(shape.radius_mm * first / ((table**3 * solid).sum() * beta(1.5, n + 1) / 2))


@dataclass(frozen=True, eq=False)
class RenderedShape:
    """Shares in 0..1 on a cube-voxel grid, float32 ``[z, y, x]``, whose middle voxel is the nodule's centre."""

    occupancy: NDArray[np.float32]
    inclusion: NDArray[np.float32] | None
    halo: NDArray[np.float32] | None
    spacing_mm: float

    def parts(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the parts that exist, by name."""
        for name in ("occupancy", "inclusion", "halo"):
            values = getattr(self, name)
            if values is not None:
                yield name, values

    def with_parts(self, parts: dict[str, NDArray[np.float32]]) -> "RenderedShape":
        """Return the same grid with other values."""
        return RenderedShape(parts["occupancy"], parts.get("inclusion"), parts.get("halo"), self.spacing_mm)


class _Body:
    """Relative depth ``r / rho(u)`` and surface distance of the body around any point."""

    def __init__(self, shape: NoduleShape) -> None:
        self.shape, self.table = shape, make_surface_table(shape)
        self.world_from_nodule = np.array(shape.rotation)
        self.centroid = body_centroid_mm(shape, self.table)
        self.largest_mm = float(self.table.max()) * shape.radius_mm
        self._wrapped = np.concatenate([self.table, self.table[:, :1]], axis=1)

    def surface_mm(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return radius and surface distance for points ``(3, ...)`` (x, y, z mm from the centre, world axes)."""
        local = np.tensordot(self.world_from_nodule.T, points, axes=1)
        local += self.centroid.reshape(3, *[1] * (points.ndim - 1))  # the centre is the centroid, not the origin
        radius = np.sqrt((local**2).sum(0))
        polar = np.arccos(np.clip(local[2] / np.maximum(radius, 1e-9), -1, 1)) * ((NUM_POLAR - 1) / pi)
        azimuth = (np.arctan2(local[1], local[0]) % (2 * pi)) * (NUM_AZIMUTH / (2 * pi))
        rho = map_coordinates(self._wrapped, [polar, azimuth], order=1, mode="nearest")
        return radius, rho * self.shape.radius_mm


def _share(depth_mm: FloatArray, edge_mm: float) -> FloatArray:
    """Share of a voxel that lies inside, from the depth of its centre: a plane cuts a cube."""
    return np.clip(0.5 + depth_mm / edge_mm, 0, 1)


def _profile(radius: FloatArray, rho: FloatArray, exponent: float, edge_mm: float) -> FloatArray:
    # A voxel that the surface cuts is judged at the middle of its inner part, not at its centre beyond the surface.
    inner = np.minimum(radius, (np.maximum(radius - edge_mm / 2, 0) + rho) / 2)
    relative = np.minimum(inner / rho, 1.0)
    return (1 - relative**2) ** exponent * _share(rho - radius, edge_mm)


def spicule_volume_mm3(spicule: Spicule) -> float:
    """Volume of the frustum outside the body, in mm3."""
    a, b = spicule.base_mm / 2, spicule.tip_mm / 2
    return pi / 3 * spicule.length_mm * (a * a + a * b + b * b)


def _add_spicule(
    occupancy: NDArray[np.float32], axis_mm: FloatArray, body: _Body, spicule: Spicule, edge: float
) -> None:
    """Draw a tapered strand into ``occupancy`` by maximum; it starts a little inside the body."""
    direction = np.array(spicule.direction)
    _, rho = body.surface_mm((direction * body.shape.radius_mm)[:, None])
    surface = float(rho[0]) - float(direction @ (body.world_from_nodule @ body.centroid))
    start, stop = 0.7 * surface, surface + spicule.length_mm
    ends = np.stack([direction * start, direction * stop])
    low, high = ends.min(0) - spicule.base_mm, ends.max(0) + spicule.base_mm
    window = tuple(slice(*np.searchsorted(axis_mm, (low[i], high[i]))) for i in (2, 1, 0))
    z, y, x = np.meshgrid(*(axis_mm[w] for w in window), indexing="ij")
    along = np.clip(x * direction[0] + y * direction[1] + z * direction[2], start, stop)
    away = np.sqrt((x - along * direction[0]) ** 2 + (y - along * direction[1]) ** 2 + (z - along * direction[2]) ** 2)
    taper = np.clip((along - surface) / spicule.length_mm, 0, 1)
    radius = (spicule.base_mm + (spicule.tip_mm - spicule.base_mm) * taper) / 2
    share = _share(radius - away, edge) * np.minimum(1, (2 * radius / edge) ** 2)
    np.maximum(occupancy[window], share.astype(np.float32), out=occupancy[window])


def render_shape(shape: NoduleShape, spacing_mm: float, margin_mm: float = 1.0) -> RenderedShape:
    """Render body, spicules, inclusions and halo on cubes of ``spacing_mm``; ``margin_mm`` is left empty around."""
    body = _Body(shape)
    extent = body.largest_mm + float(np.linalg.norm(body.centroid)) + shape.halo_width_mm + spacing_mm
    half = int(np.ceil(extent / spacing_mm))
    axis = np.arange(-half, half + 1) * spacing_mm
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))[::-1]  # x, y, z
    radius, rho = body.surface_mm(points)
    occupancy = _profile(radius, rho, shape.margin_exponent, spacing_mm).astype(np.float32)
    halo = None
    if shape.halo_width_mm > 0:
        outside = np.clip(1 - (radius - rho) / shape.halo_width_mm, 0, 1)
        halo = ((1 - occupancy) * outside).astype(np.float32)
    inclusion = _render_inclusions(body, points, radius / rho, occupancy, spacing_mm)
    # Strands reach far into empty space: only they are drawn on the larger grid.
    strands = max((s.length_mm for s in shape.spicules), default=0.0)
    extra = int(np.ceil((strands + margin_mm) / spacing_mm))
    rendered = RenderedShape(occupancy, inclusion, halo, spacing_mm)
    rendered = rendered.with_parts({name: np.pad(values, extra) for name, values in rendered.parts()})
    axis = np.arange(-half - extra, half + extra + 1, dtype=np.float64) * spacing_mm
    for spicule in shape.spicules:
        _add_spicule(rendered.occupancy, axis, body, spicule, spacing_mm)
    return rendered


def _render_inclusions(
    body: _Body, points: FloatArray, relative: FloatArray, occupancy: NDArray[np.float32], edge_mm: float
) -> NDArray[np.float32] | None:
    shape = body.shape
    if shape.num_laminae:
        shells = 0.5 - 0.5 * np.cos(2 * pi * shape.num_laminae * np.minimum(relative, 1))
        return np.asarray(occupancy * shells, dtype=np.float32)
    if not shape.inclusions:
        return None
    result = np.zeros_like(occupancy)
    for part in shape.inclusions:
        moved = points - np.array(part.offset).reshape(3, 1, 1, 1) * shape.radius_mm
        radius, rho = body.surface_mm(moved / part.ratio)
        share = _profile(radius * part.ratio, rho * part.ratio, shape.margin_exponent, edge_mm)
        np.maximum(result, share.astype(np.float32), out=result)
    return np.minimum(result, occupancy)
