"""Bodies whose line integrals are known in closed form, and their voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drrx.benchmark.scene import AIR_HU
from drrx.geometry import View
from drrx.volume import Volume

Array = NDArray[np.float64]
Triple = tuple[float, float, float]


class Shape(Protocol):
    """A body of one density; where bodies overlap their densities add up (a lung in a chest has a negative one)."""

    @property
    def density(self) -> float:
        """Water-equivalent density that the body adds."""

    def chord_mm(self, source: Array, ends: Array) -> Array:
        """Length inside the body of the lines from ``source`` through ``ends`` ``(..., 3)``, world mm."""

    def shares(self, axes: Sequence[Array], edge_mm: float) -> Array:
        """Share of each voxel inside the body, ``[z, y, x]``; ``axes`` are voxel centres along x, y, z, world mm."""

    def extent_mm(self) -> tuple[Array, Array]:
        """Lowest and highest world coordinates (x, y, z)."""


@dataclass(frozen=True)
class Ellipsoid:
    """Semi-axes along x, y, z in mm; a sphere has three equal ones."""

    center_mm: Triple
    semi_axes_mm: Triple
    density: float
    num_sub: int = 8

    def chord_mm(self, source: Array, ends: Array) -> Array:
        """Solve the quadratic equation of a line and the unit sphere, in coordinates scaled by the semi-axes."""
        start = (source - np.array(self.center_mm)) / self.semi_axes_mm
        along = (ends - source) / self.semi_axes_mm
        a, b, c = (along**2).sum(-1), along @ start, start @ start - 1
        return 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a * np.linalg.norm(ends - source, axis=-1)

    def shares(self, axes: Sequence[Array], edge_mm: float) -> Array:
        """Share of each voxel; those near the surface from ``num_sub`` points a side."""
        inside, near = self._locate(axes, edge_mm)
        points = ((np.arange(self.num_sub) + 0.5) / self.num_sub - 0.5) * edge_mm
        z, y, x = (
            (((axis[index][:, None] + points) - center) / semi_axis) ** 2
            for axis, index, center, semi_axis in zip(
                axes[::-1], np.nonzero(near), self.center_mm[::-1], self.semi_axes_mm[::-1], strict=True
            )
        )
        shares = inside.astype(np.float64)
        parts = np.array_split(np.arange(len(x)), max(1, len(x) // 4000))
        shares[near] = np.concatenate([
            (z[p, :, None, None] + y[p, None, :, None] + x[p, None, None, :] < 1).mean(axis=(1, 2, 3)) for p in parts
        ])  # fmt: skip
        return shares

    def _locate(self, axes: Sequence[Array], edge_mm: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether a voxel's centre is inside, and whether the surface may cut the voxel."""
        scaled = [(a - c) / s for a, c, s in zip(axes, self.center_mm, self.semi_axes_mm, strict=True)]
        x, y, z = scaled[0][None, None, :], scaled[1][None, :, None], scaled[2][:, None, None]
        depth = np.sqrt(x * x + y * y + z * z)
        a, b, c = self.semi_axes_mm
        slope = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2) / np.maximum(depth, 1e-9)
        return depth < 1, np.abs(depth - 1) < 1.1 * edge_mm * np.maximum(slope, 1 / max(a, b, c))

    def extent_mm(self) -> tuple[Array, Array]:
        """Lowest and highest world coordinates (x, y, z)."""
        return np.subtract(self.center_mm, self.semi_axes_mm), np.add(self.center_mm, self.semi_axes_mm)


@dataclass(frozen=True)
class Box:
    """A box along the axes."""

    low_mm: Triple
    high_mm: Triple
    density: float

    def chord_mm(self, source: Array, ends: Array) -> Array:
        """Cut the line by three pairs of planes."""
        along = ends - source
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        first, second = (np.array(self.low_mm) - source) / along, (np.array(self.high_mm) - source) / along
        enter, leave = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
        return np.maximum(leave - enter, 0) * np.linalg.norm(along, axis=-1)

    def shares(self, axes: Sequence[Array], edge_mm: float) -> Array:
        """Share of each voxel: a product of overlaps, exact."""
        x, y, z = (
            np.clip(np.minimum(a + edge_mm / 2, high) - np.maximum(a - edge_mm / 2, low), 0, None) / edge_mm
            for a, low, high in zip(axes, self.low_mm, self.high_mm, strict=True)
        )
        return z[:, None, None] * y[:, None] * x

    def extent_mm(self) -> tuple[Array, Array]:
        """Lowest and highest world coordinates (x, y, z)."""
        return np.array(self.low_mm), np.array(self.high_mm)


def path_mm(shapes: Sequence[Shape], view: View) -> Array:
    """Return the exact water-equivalent path ``[row, column]`` in mm."""
    ends = view.pixel_world_mm(*np.indices(view.shape))
    return np.sum([shape.density * shape.chord_mm(view.source_world_mm, ends) for shape in shapes], axis=0)


def make_volume(shapes: Sequence[Shape], edge_mm: float = 1.0, margin_mm: float = 3.0) -> Volume:
    """Return the voxels with partial volume, int16 HU, centred at the world's origin."""
    low = np.min([shape.extent_mm()[0] for shape in shapes], axis=0) - margin_mm
    high = np.max([shape.extent_mm()[1] for shape in shapes], axis=0) + margin_mm
    half = np.ceil(np.maximum(-low, high) / edge_mm).astype(int)
    axes = [np.arange(-n, n + 1) * edge_mm for n in half]
    density = np.zeros([len(axis) for axis in axes[::-1]])
    for shape in shapes:
        ends = (np.searchsorted(axis, bounds) for axis, bounds in zip(axes, _box(shape, edge_mm), strict=True))
        windows = [slice(begin, end) for begin, end in ends]
        part = shape.shares([axis[window] for axis, window in zip(axes, windows, strict=True)], edge_mm)
        density[tuple(windows[::-1])] += shape.density * part
    values = np.rint(-AIR_HU * density + AIR_HU).astype(np.int16)
    return Volume.from_spacing(values, (edge_mm,) * 3, tuple(float(axis[0]) for axis in axes))  # type: ignore[arg-type]


def _box(shape: Shape, edge_mm: float) -> Array:
    """Bounds ``[axis, 2]`` of the voxels that a shape may touch."""
    low, high = shape.extent_mm()
    return np.stack([low - edge_mm, high + edge_mm], axis=1)


LUNG, NODULE = 0.26, 1.0
NUM_PLACES = 7
SPHERES_MM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def make_chest() -> tuple[Shape, ...]:
    """Trunk, lungs, heart, spine and spheres of 3-10 mm in the lungs, as ellipsoids off the voxel grid."""
    trunk = Ellipsoid((0.0, 0.0, 0.0), (160.3, 105.2, 170.4), 1.0)
    lungs = [Ellipsoid((side * 72.4, -4.3, 8.1), (52.3, 74.6, 118.7), LUNG - 1.0) for side in (-1, 1)]
    heart = Ellipsoid((5.2, -38.4, -60.3), (16.1, 24.3, 31.2), 0.05)
    spine = Ellipsoid((0.3, 82.2, 0.4), (16.4, 15.3, 150.2), 0.45)
    spheres = [
        Ellipsoid(
            (side * (52.3 + 13.17 * (i % 4)), -21.4 + 7.31 * i, -62.7 + 27.43 * i), (d / 2,) * 3, NODULE - LUNG, 16
        )
        for side in (-1, 1)
        for i, d in enumerate(SPHERES_MM)
    ]
    return (trunk, *lungs, heart, spine, *spheres)


def make_boxes() -> tuple[Shape, ...]:
    """Two crossed slabs, a rod and a block, with faces off the voxel grid."""
    return (
        Box((-120.3, -60.4, -90.2), (110.6, 55.7, 95.3), 1.0),
        Box((-80.6, -30.3, -70.4), (-20.2, 30.8, 40.9), LUNG - 1.0),
        Box((15.4, -20.1, -75.3), (70.7, 40.6, 60.2), LUNG - 1.0),
        Box((-5.7, 35.4, -85.1), (7.6, 50.3, 90.7), 0.8),
    )


def make_spheres() -> tuple[Ellipsoid, ...]:
    """Spheres of 3-10 mm on their own, each size at ``NUM_PLACES`` places within a voxel; lung contrast."""
    golden = (5**0.5 - 1) / 2
    return tuple(
        Ellipsoid(
            (
                30.0 * (k - (NUM_PLACES - 1) / 2) + (k * golden) % 1, 20 * ((k * golden**2) % 1),
                30.0 * (i - 2.5) + (k * 0.37) % 1,
            ),
            (d / 2,) * 3, NODULE - LUNG, 16,
        )
        for i, d in enumerate(SPHERES_MM)
        for k in range(NUM_PLACES)
    )  # fmt: skip
