"""The CT under construction: HU and labels on one grid, and the brushes that paint on it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.phantom import raster
from drrx.phantom.field import FieldGrid
from drrx.records.anatomy import Label

AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class Tubes:
    """Tube segments of elliptic section.

    Attributes
    ----------
    points_mm
        ``(n, 3)`` world points of the centre line.
    thick_mm, wide_mm
        ``(n,)`` half sizes of the section along ``thick_axes`` and across it.
    thick_axes
        ``(n, 3)`` directions of the ``thick`` half size; made normal to the tube here.
    """

    points_mm: NDArray[Any]
    thick_mm: NDArray[Any]
    wide_mm: NDArray[Any]
    thick_axes: NDArray[Any]

    @classmethod
    def round(cls, points_mm: NDArray[Any], radii_mm: NDArray[Any] | float) -> "Tubes":
        """Make tubes of round section."""
        points = np.asarray(points_mm, float)
        radii = np.broadcast_to(np.asarray(radii_mm, float), (len(points),))
        return cls(points, radii, radii, np.broadcast_to([0.312, 0.533, 0.786], points.shape))

    def segments(self) -> tuple[NDArray[np.float64], ...]:
        """Return what ``raster.stamp_tubes`` takes after the grid."""
        start, end = raster.as_array(self.points_mm[:-1]), raster.as_array(self.points_mm[1:])
        along = end - start
        along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
        axis = (np.asarray(self.thick_axes[:-1]) + np.asarray(self.thick_axes[1:])) / 2
        axis = axis - np.sum(axis * along, axis=1, keepdims=True) * along
        axis = axis / (np.linalg.norm(axis, axis=1, keepdims=True) + 1e-9)
        pair = [raster.as_array(np.stack([s[:-1], s[1:]], axis=1)) for s in (self.thick_mm, self.wide_mm)]
        return start, end, *pair, raster.as_array(axis), raster.as_array(np.cross(along, axis))


@dataclass(frozen=True, eq=False)
class Canvas:
    """HU and labels ``[slice, row, column]`` of the CT being painted.

    ``origin_mm`` is the world ``(x, y, z)`` of voxel 0; ``spacing_mm`` goes along x, y, z.
    """

    shape: tuple[int, int, int]
    origin_mm: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    hu: NDArray[np.float32] = field(init=False)
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hu", np.full(self.shape, AIR_HU, np.float32))
        object.__setattr__(self, "labels", np.zeros(self.shape, np.uint8))

    @property
    def edge_mm(self) -> float:
        """Width over which an edge shares voxels: the cube root of the voxel's volume."""
        return float(np.prod(self.spacing_mm) ** (1 / 3))

    def box(self, low_mm: NDArray[Any], high_mm: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first and one-past-last voxel ``(slice, row, column)`` of a world box, cut at the grid's edge."""
        first = np.floor((np.asarray(low_mm) - self.origin_mm) / self.spacing_mm).astype(np.int64)[::-1]
        last = np.ceil((np.asarray(high_mm) - self.origin_mm) / self.spacing_mm).astype(np.int64)[::-1] + 1
        size = np.array(self.shape)
        return np.clip(first, 0, size), np.clip(last, 0, size)

    def axes(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return world x, y, z of the voxels of a box, shaped to broadcast over ``[slice, row, column]``."""
        z, y, x = (
            self.origin_mm[2 - a] + self.spacing_mm[2 - a] * np.arange(low[a], high[a], dtype=np.float64)
            for a in range(3)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def paint(
        self,
        grid: FieldGrid,
        *fields: NDArray[np.float32],
        hu: float | None,
        label: Label | None = None,
        signs: tuple[float, ...] | None = None,
        offsets_mm: tuple[float, ...] | None = None,
    ) -> None:
        """Paint where every ``sign * field + offset`` (distance in mm) is negative; no ``hu`` sets labels only."""
        signs = signs or (1.0,) * len(fields)
        offsets = offsets_mm or (0.0,) * len(fields)
        inside = np.logical_and.reduce(
            [s * f + o < 2 * self.edge_mm + 2 for f, s, o in zip(fields, signs, offsets, strict=True)]
        )
        if not inside.any():
            return
        spans = [np.flatnonzero(inside.any(axis=other)) for other in ((0, 1), (0, 2), (1, 2))]
        low = [grid.origin_mm[a] + grid.step_mm * (spans[a][0] - 1) for a in range(3)]
        high = [grid.origin_mm[a] + grid.step_mm * (spans[a][-1] + 1) for a in range(3)]
        first, last = self.box(np.array(low), np.array(high))
        raster.paint_fields(
            self.hu, self.labels, first, last, self.origin_mm, self.spacing_mm, np.stack(fields),
            np.array(signs, np.float32), np.array(offsets, np.float32), np.array(grid.origin_mm), grid.step_mm,
            np.float32(0.0 if hu is None else hu), hu is not None, -1 if label is None else int(label),
            np.float32(self.edge_mm),
        )  # fmt: skip

    def paint_tubes(
        self,
        tubes: list[Tubes],
        *,
        shell_hu: float,
        core_hu: float,
        shell_mm: float,
        label: Label | None = Label.BONE,
    ) -> None:
        """Paint the union of tubes as a shell (compact bone) around a core (spongy bone)."""
        points = np.concatenate([t.points_mm for t in tubes])
        reach = max(float(max(np.max(t.thick_mm), np.max(t.wide_mm))) for t in tubes) + 3.0
        low, high = self.box(points.min(axis=0) - reach, points.max(axis=0) + reach)
        if (high <= low).any():
            return
        gap = np.full(tuple((high - low).tolist()), 50.0, np.float32)
        origin = self.origin_mm + self.spacing_mm * low[::-1]
        for tube in tubes:
            raster.stamp_tubes(gap, origin, self.spacing_mm, *tube.segments())
        self.paint_gap(gap, low, shell_hu=shell_hu, core_hu=core_hu, shell_mm=shell_mm, label=label)

    def paint_gap(
        self,
        gap_mm: NDArray[Any],
        low: NDArray[np.int64],
        *,
        shell_hu: float,
        core_hu: float,
        shell_mm: float,
        label: Label | None = Label.BONE,
    ) -> None:
        """Paint a box of distances ``[slice, row, column]`` in mm whose first voxel is ``low``."""
        raster.paint_gap(
            self.hu, self.labels, np.asarray(gap_mm, np.float32), low, float(shell_hu), float(core_hu),
            float(shell_mm), self.edge_mm, -1 if label is None else int(label),
        )  # fmt: skip

    def paint_vessels(
        self,
        starts_mm: NDArray[Any],
        ends_mm: NDArray[Any],
        radii_mm: NDArray[Any],
        *,
        hu: float,
        label: Label,
        over: tuple[Label, ...],
    ) -> None:
        """Paint round cones ``(n, 3)``, radii ``(n, 2)``; ``label`` replaces only the labels in ``over``."""
        low, high = self.box(np.minimum(starts_mm, ends_mm).min(0) - 12, np.maximum(starts_mm, ends_mm).max(0) + 12)
        cover = np.zeros(tuple((high - low).tolist()), np.float32)
        origin = self.origin_mm + self.spacing_mm * low[::-1]
        geometry = (raster.as_array(v) for v in (starts_mm, ends_mm, radii_mm))
        raster.stamp_vessels(cover, origin, self.spacing_mm, *geometry, self.edge_mm)
        table = np.zeros(256, np.bool_)
        table[list(over)] = True
        raster.paint_cover(self.hu, self.labels, cover, low, np.float32(hu), int(label), table)

    def add_texture(self, grid: FieldGrid, texture: NDArray[np.float32], gain_hu: dict[Label, float]) -> None:
        """Add a coarse texture of unit variance, scaled by ``gain_hu`` per label."""
        gain = np.zeros(256, np.float32)
        for label, scale in gain_hu.items():
            gain[label] = scale
        raster.add_texture(
            self.hu, self.labels, self.origin_mm, self.spacing_mm, texture, np.array(grid.origin_mm), grid.step_mm, gain
        )
