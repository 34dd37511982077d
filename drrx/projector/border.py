"""The border of a CT's field of view, seen from its middle."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drrx.volume import Volume

AIR_HU = -1000
NUM_SAMPLED_SLICES = 8
RIM_VOXELS = 3  # a reconstruction circle is this sharp
FULL_SHARE = 0.9  # noise makes at least this share of what was reconstructed differ from padding, even in air
SEEN_AIR_SHARE = 0.03  # with less air a round edge may be that of a round body in ideal air


@dataclass(frozen=True, eq=False)
class Border:
    """What was reconstructed in every slice: a circle, a rectangle, or what they have in common.

    Attributes
    ----------
    center_mm
        Middle, ``(row, column)`` from the centre of voxel 0.
    near_mm, far_mm
        Lengths along (row, column) from the middle to the faces of the grid at index 0 and at the last index.
    circle_mm
        Radius of the reconstruction circle, infinite where none shows.
    voxel_mm
        The finer in-plane spacing.
    """

    center_mm: NDArray[np.float64]
    near_mm: NDArray[np.float64]
    far_mm: NDArray[np.float64]
    circle_mm: float
    voxel_mm: float

    @classmethod
    def find(cls, ct: Volume, body: NDArray[np.bool_]) -> Self:
        """Find the circle beyond which every slice is padding (exactly -1000 HU), or take the whole grid.

        Parameters
        ----------
        ct
            Canonical int16 HU, table and noise of the air still in it.
        body
            bool ``[slice, row, column]``: the patient.
        """
        picked = np.unique(np.linspace(0, ct.shape[0] - 1, NUM_SAMPLED_SLICES).astype(int))
        known_by_slice = [ct.values[index] != AIR_HU for index in picked]
        known = np.any(known_by_slice, axis=0)
        seen_air = np.any([seen & ~body[index] for seen, index in zip(known_by_slice, picked, strict=True)], axis=0)
        spacing_mm, size = np.array(ct.spacing_mm[1:]), np.array(ct.shape[1:])
        middle = (size - 1) / 2
        if known.any():
            spans = [np.flatnonzero(known.any(axis=axis))[[0, -1]] for axis in (1, 0)]
            middle = np.mean(spans, axis=1)
        away = [(np.arange(n) - at) * mm for n, at, mm in zip(size, middle, spacing_mm, strict=True)]
        rings = np.hypot(away[0][:, None], away[1]) / spacing_mm.min()
        circle = _find_circle(rings, known) if seen_air.sum() > SEEN_AIR_SHARE * known.sum() else np.inf
        if not np.isfinite(circle):
            middle = (size - 1) / 2
        near_mm = (middle + 0.5) * spacing_mm
        return cls(
            middle * spacing_mm, near_mm, size * spacing_mm - near_mm, circle * spacing_mm.min(), spacing_mm.min()
        )

    def radius_mm(self, rows: NDArray, columns: NDArray) -> NDArray[np.float64]:
        """Return the distance from the middle to the border along unit vectors ``(row, column)``, in mm."""
        radius = np.full(np.shape(rows), self.circle_mm)
        for part, near, far in zip((rows, columns), self.near_mm, self.far_mm, strict=True):
            with np.errstate(divide="ignore"):
                radius = np.minimum(radius, np.where(part > 0, far, near) / np.abs(part))
        return radius


def _find_circle(rings: NDArray[np.float64], known: NDArray[np.bool_]) -> float:
    """Return the radius, in voxels, at which known voxels end at once all around; infinite where they do not."""
    ring = rings.astype(np.int32).ravel()
    count = np.bincount(ring)
    share = np.bincount(ring, known.ravel()) / np.maximum(count, 1)
    full = np.flatnonzero(share >= FULL_SHARE)
    if not full.size:
        return np.inf
    last = int(full[-1])
    beyond = known & (rings > last + RIM_VOXELS)
    if last + RIM_VOXELS >= rings.max() or beyond.any() or (share[last // 2 : last] < FULL_SHARE).any():
        return np.inf
    return float(rings[known].max() + 0.5)
