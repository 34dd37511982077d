"""Smooth shapes on a coarse grid: signed distances in mm, negative inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

FAR_MM = 90.0
# Beyond this a shape no longer changes a field: blends of up to 26 mm are still smooth.
REACH_MM = 30.0


@dataclass(frozen=True, eq=False)
class FieldGrid:
    """A coarse world grid ``[z, y, x]`` on which organs are shaped before they are painted on the fine CT grid.

    Attributes
    ----------
    origin_mm
        World ``(x, y, z)`` of node 0.
    shape
        Number of nodes along z, y, x.
    step_mm
        Distance of neighbours, the same along all axes.
    """

    origin_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    step_mm: float

    @classmethod
    def around(cls, low_mm: NDArray[Any], high_mm: NDArray[Any], step_mm: float) -> Self:
        """Make a grid that covers the world box with two nodes to spare on every side."""
        origin = np.asarray(low_mm, float) - 2 * step_mm
        counts = np.ceil((np.asarray(high_mm, float) + 2 * step_mm - origin) / step_mm).astype(int) + 1
        return cls(tuple(origin.tolist()), (int(counts[2]), int(counts[1]), int(counts[0])), step_mm)

    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return world x, y, z in mm, shaped to broadcast over ``[z, y, x]``."""
        z, y, x = (
            (start + self.step_mm * np.arange(count)).astype(np.float32)
            for start, count in zip(self.origin_mm[::-1], self.shape, strict=True)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def empty(self) -> NDArray[np.float32]:
        """Return a field that is far from everything."""
        return np.full(self.shape, FAR_MM, np.float32)

    def to_distance(self, implicit: NDArray[Any]) -> NDArray[np.float32]:
        """Turn an implicit function (0 on the surface) into a distance in mm, to first order (Taubin 1994, eq. 8)."""
        parts = np.gradient(implicit.astype(np.float32), self.step_mm)
        slope = np.sqrt(sum(part * part for part in parts))
        return np.clip(implicit / np.maximum(slope, 1e-5), -FAR_MM, FAR_MM).astype(np.float32)

    def window(self, low_mm: NDArray[Any], high_mm: NDArray[Any]) -> tuple[slice, slice, slice]:
        """Return the slices ``(z, y, x)`` of the nodes inside a world box, cut at the grid's edge."""
        first = np.floor((np.asarray(low_mm) - self.origin_mm) / self.step_mm).astype(int)
        last = np.ceil((np.asarray(high_mm) - self.origin_mm) / self.step_mm).astype(int) + 1
        size = np.array(self.shape[::-1])
        first, last = np.clip(first, 0, size), np.clip(last, 0, size)
        return tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))  # type: ignore[return-value]

    def add_ellipsoid(
        self,
        field: NDArray[np.float32],
        center_mm: Sequence[float],
        radii_mm: Sequence[float],
        *,
        axes: NDArray[Any] | None = None,
        blend_mm: float = 0.0,
        reach_mm: float = REACH_MM,
    ) -> None:
        """Unite ``field`` in place with an ellipsoid; rows of ``axes`` are its unit axes (default x, y, z)."""
        center, radii = np.asarray(center_mm, float), np.asarray(radii_mm, float)
        reach = radii.max() + reach_mm
        where = self.window(center - reach, center + reach)
        x, y, z = self._local(where, center)
        frame = np.eye(3) if axes is None else np.asarray(axes, float)
        scaled = [(x * e[0] + y * e[1] + z * e[2]) / r for e, r in zip(frame, radii, strict=True)]
        value = np.sqrt(sum(s * s for s in scaled)) + 1e-6
        slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) / value + 1e-6
        self._unite(field, where, (value - 1.0) / slope, blend_mm)

    def add_chain(
        self,
        field: NDArray[np.float32],
        points_mm: NDArray[Any],
        radii_mm: NDArray[Any] | float,
        *,
        blend_mm: float = 0.0,
        reach_mm: float = REACH_MM,
    ) -> None:
        """Unite ``field`` in place with a chain of round cones through ``points_mm`` ``(n, 3)``."""
        points = np.asarray(points_mm, float)
        radii = np.broadcast_to(np.asarray(radii_mm, float), (len(points),))
        for p, q, r, s in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            reach = max(r, s) + reach_mm
            where = self.window(np.minimum(p, q) - reach, np.maximum(p, q) + reach)
            x, y, z = self._local(where, p)
            step = q - p
            along = np.clip((x * step[0] + y * step[1] + z * step[2]) / max(step @ step, 1e-9), 0.0, 1.0)
            gap = np.sqrt((x - along * step[0]) ** 2 + (y - along * step[1]) ** 2 + (z - along * step[2]) ** 2)
            self._unite(field, where, gap - (r + along * (s - r)), blend_mm)

    def _local(self, where: tuple[slice, slice, slice], center: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        x, y, z = self.axes()
        return (
            x[:, :, where[2]] - np.float32(center[0]),
            y[:, where[1], :] - np.float32(center[1]),
            z[where[0]] - np.float32(center[2]),
        )

    @staticmethod
    def _unite(
        field: NDArray[np.float32], where: tuple[slice, slice, slice], other: NDArray[Any], blend_mm: float
    ) -> None:
        if other.size:
            field[where] = smooth_min(field[where], other.astype(np.float32), blend_mm)


def smooth_min(first: NDArray[Any], second: NDArray[Any], blend_mm: float) -> NDArray[Any]:
    """Return the minimum of two distances, rounded over ``blend_mm`` (Quilez, polynomial smooth minimum)."""
    if blend_mm <= 0:
        return np.minimum(first, second)
    near = np.maximum(blend_mm - np.abs(first - second), 0.0) / blend_mm
    return np.minimum(first, second) - near * near * (blend_mm / 4)


def smooth_max(first: NDArray[Any], second: NDArray[Any], blend_mm: float) -> NDArray[Any]:
    """Return the maximum of two distances, rounded over ``blend_mm``."""
    return -smooth_min(-first, -second, blend_mm)


def loft(
    x: NDArray[Any],
    y: NDArray[Any],
    z: NDArray[Any],
    table: NDArray[Any],
    *,
    exponents: tuple[float, float] = (2.3, 3.0),
    widest: float = 0.64,
    grow_mm: float | NDArray[Any] = 0.0,
) -> NDArray[Any]:
    """Evaluate a body of superelliptic cross-sections: 0 on its surface, about -1 at its axis.

    Parameters
    ----------
    x, y, z
        Broadcastable reference coordinates in mm.
    table
        Rows ``(z, half width, y of the front, y of the back)`` in mm, any order of z; monotone cubic between them.
    exponents
        Superellipse exponents of the back and the front half; 2 is an ellipse, more is squarer.
    widest
        Where the section is widest, as a part of its depth in front of the back.
    grow_mm
        Added to the size on every side.
    """
    rows = table[np.argsort(table[:, 0])]
    fine = np.linspace(rows[0, 0], rows[-1, 0], 400)
    half, front, back = (np.interp(z, fine, column) for column in PchipInterpolator(rows[:, 0], rows[:, 1:])(fine).T)
    half, front, back = half + grow_mm, front - grow_mm, back + grow_mm
    middle = back - widest * (back - front)
    behind = y > middle
    power = np.where(behind, exponents[0], exponents[1])
    depth = np.where(behind, back - middle, middle - front)
    wide = (np.abs(x) / np.maximum(half, 1.0)) ** power
    deep = (np.abs(y - middle) / np.maximum(depth, 1.0)) ** power
    return (wide + deep) ** (1 / power) - 1.0
