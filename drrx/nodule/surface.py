"""The surface of a star-shaped body: radius along every direction, closed-form volume and centroid."""

from functools import lru_cache
from math import factorial, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import beta

from drrx.records.nodule_shape import NoduleShape

NUM_POLAR, NUM_AZIMUTH = 121, 240  # 1.5 deg: 0.4 mm on a 30 mm nodule, and its surface is smooth between
FloatArray = NDArray[np.float64]


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


class Body:
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

    def reach_mm(self, directions: FloatArray) -> FloatArray:
        """Return the distance from the centre to the surface along unit directions ``(n, 3)`` (x, y, z, world)."""
        distance = np.full(len(directions), self.shape.radius_mm)
        for _ in range(6):  # from the centroid the surface is no closed form; each step divides the error by ten or so
            radius, rho = self.surface_mm((directions * distance[:, None]).T)
            distance = distance + (rho - radius)
        return np.asarray(distance)


def share_inside(depth_mm: FloatArray, edge_mm: float) -> FloatArray:
    """Return the share of a voxel that lies inside, from the depth of its centre: a plane cuts a cube."""
    return np.clip(0.5 + depth_mm / edge_mm, 0, 1)
