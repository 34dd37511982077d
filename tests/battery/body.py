"""A small body with marker balls: its HU are known at every place of the world, so any grid can be judged."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drrx.volume import Volume

MARKER_HU = 2600.0
MARKER_SIGMA = 1.2  # voxels
TEXTURE_HU = 4.0


@dataclass(frozen=True, eq=False)
class Body:
    """A trunk with two lungs in air, and balls on a helix through it: every few slices there is one.

    Attributes
    ----------
    volume
        Canonical int16 HU on the grid that it was made for.
    markers_mm
        LPS places of the balls, ``(n, 3)``; all on voxel centres.
    width
        Share of the field of view that the trunk fills.
    """

    volume: Volume
    markers_mm: NDArray[np.float64]
    width: float

    def sample(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return HU at LPS places ``(..., 3)``."""
        spacing = np.array(self.volume.spacing_mm[::-1])
        half = np.array(self.volume.shape[::-1]) * spacing / 2
        x, y, z = np.moveaxis((world_mm - self.volume.center_world_mm) / half, -1, 0)
        trunk = _soften(1 - np.hypot(x / self.width, y / (0.9 * self.width)))
        side = np.abs(x) / self.width
        lungs = _soften(1 - np.hypot((side - 0.42) / 0.27, y / (0.5 * self.width)))
        hu = -1000 + trunk * (1040 + 30 * x + 20 * y + 10 * z - 890 * lungs)
        for marker in self.markers_mm:
            squared = (((world_mm - marker) / spacing) ** 2).sum(axis=-1)
            hu = np.maximum(hu, -1000 + (MARKER_HU + 1000) * np.exp(-squared / 2 / MARKER_SIGMA**2))
        return hu

    def on(self, world_from_index: NDArray[np.float64], shape: tuple[int, int, int]) -> Volume:
        """Return the body on another grid, without texture."""
        empty = Volume(np.zeros(shape, np.int16), world_from_index)
        index = np.moveaxis(np.indices(shape), 0, -1)
        return empty.with_values(np.rint(self.sample(empty.to_world(index))).astype(np.int16))


def _soften(inside: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(np.clip(-inside / 0.04, -50, 50)))


def make_body(
    rng: Generator, *, shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None, texture: bool = True, width: float = 0.85,
) -> Body:  # fmt: skip
    """Draw a body; shape, spacing and place are random where not given.

    ``texture`` puts noise on it, so that a voxel at a wrong place shows; without, it is smooth, so that a resampled
    volume can be judged.
    """
    drawn = (rng.integers(17, 22), rng.integers(24, 28), rng.integers(28, 34))
    shape = shape or tuple(int(size) for size in drawn)  # type: ignore[assignment]
    steps = (rng.uniform(1.2, 2.4), rng.uniform(0.8, 1.3), rng.uniform(1.35, 1.9))
    spacing_mm = spacing_mm or tuple(round(float(mm), 2) for mm in steps)  # type: ignore[assignment]
    origin = tuple(round(float(mm), 1) for mm in rng.uniform(-300, 100, 3))
    empty = Volume.from_spacing(np.zeros(shape, np.int16), spacing_mm, origin)  # type: ignore[arg-type]
    body = Body(empty, empty.to_world(_place_markers(empty.shape, width, rng)), width)
    smooth = body.on(empty.world_from_index, empty.shape).values
    noise = rng.normal(0, TEXTURE_HU, empty.shape) if texture else 0.0
    return Body(empty.with_values(np.rint(smooth + noise).astype(np.int16)), body.markers_mm, width)


def _place_markers(shape: tuple[int, int, int], width: float, rng: Generator) -> NDArray[np.float64]:
    slices = np.arange(2, shape[0] - 2, 3)
    angle = rng.uniform(0, 2 * np.pi) + np.radians(100) * np.arange(len(slices))
    radius = 0.33 * width
    rows = (shape[1] - 1) / 2 + radius * shape[1] * np.sin(angle)
    columns = (shape[2] - 1) / 2 + radius * shape[2] * np.cos(angle)
    return np.rint(np.stack([slices, rows, columns], axis=-1))


def free_slices(body: Body) -> NDArray[np.intp]:
    """Return slices away from both ends and from the middle of every ball."""
    used = np.rint(body.volume.to_index(body.markers_mm)[:, 0]).astype(int)
    return np.setdiff1d(np.arange(3, body.volume.shape[0] - 3), used)


def crop(body: Body, margins: tuple[int, int, int], num_slices: int | None = None) -> Body:
    """Return the middle of a body: ``margins`` slices, rows and columns less on each side; or its first slices."""
    low, high = np.array(margins), np.array(body.volume.shape) - margins
    high[0] = num_slices or high[0]
    affine = body.volume.world_from_index.copy()
    affine[:3, 3] = body.volume.to_world(low)
    at = body.volume.to_index(body.markers_mm)
    inside = ((at > low + 1) & (at < high - 2)).all(axis=1)
    part = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    return Body(Volume(body.volume.values[part], affine), body.markers_mm[inside], body.width)
