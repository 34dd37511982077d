"""A coarser copy of the CT for shapes, and the way back to the CT's own grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class Coarse:
    """Block means of a CT.

    Attributes
    ----------
    hu
        float32 ``[slice, row, column]``, mean HU of each block.
    spacing_mm
        Size of a block along slice, row, column, mm.
    factors
        CT voxels per block along each axis; blocks begin at voxel 0.
    shape
        Shape of the CT.
    """

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    factors: tuple[int, int, int]
    shape: tuple[int, int, int]

    @classmethod
    def from_volume(cls, ct: Volume, spacing_mm: float) -> "Coarse":
        """Average whole blocks of voxels of about ``spacing_mm``; the rim is repeated to fill the last block."""
        slices, rows, columns = (max(1, round(spacing_mm / mm)) for mm in ct.spacing_mm)
        factors = (slices, rows, columns)
        hu = ct.values
        for axis, factor in enumerate(factors):
            hu = _average(hu, factor, axis)
        size = [mm * factor for mm, factor in zip(ct.spacing_mm, factors, strict=True)]
        return cls(hu.astype(np.float32, copy=False), (size[0], size[1], size[2]), factors, ct.shape)

    @property
    def voxel_ml(self) -> float:
        """Volume of one block in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def shrink(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which blocks a mask on the CT's grid fills by at least half."""
        share: NDArray[Any] = mask.view(np.uint8)
        for axis, factor in enumerate(self.factors):
            share = _average(share, factor, axis)
        return share >= 0.5

    def grow(self, mask: NDArray[np.bool_], smooth_mm: float = 0.0) -> NDArray[np.bool_]:
        """Bring a mask to the CT's grid with smooth surfaces (trilinear, cut at one half)."""
        full = np.zeros(self.shape, dtype=bool)
        box = ndimage.find_objects(mask.view(np.uint8))
        if not box or box[0] is None:
            return full
        margin = [2 + int(np.ceil(3 * smooth_mm / mm)) for mm in self.spacing_mm]
        inner = tuple(
            slice(max(0, part.start - more), min(size, part.stop + more))
            for part, more, size in zip(box[0], margin, mask.shape, strict=True)
        )
        share = mask[inner].astype(np.float32)
        if smooth_mm:
            share = ndimage.gaussian_filter(share, [smooth_mm / mm for mm in self.spacing_mm], mode="nearest")
        outer = tuple(
            slice(part.start * factor, min(size, part.stop * factor))
            for part, factor, size in zip(inner, self.factors, self.shape, strict=True)
        )
        lengths = [part.stop - part.start for part in outer]
        for axis in (1, 2):
            share = _interpolate(share, self.factors[axis], lengths[axis], axis)
        # Slices last and one by one: the full float volume never exists.
        target = full[outer]
        before, weight = _weights(self.factors[0], lengths[0], share.shape[0])
        for index in range(lengths[0]):
            low, high = share[before[index]], share[min(before[index] + 1, share.shape[0] - 1)]
            target[index] = (low + weight[index] * (high - low)) > 0.5
        return full


def _average(values: NDArray[Any], factor: int, axis: int) -> NDArray[Any]:
    if factor == 1:
        return values
    rest = -values.shape[axis] % factor
    if rest:
        values = np.concatenate([values, np.repeat(np.take(values, [-1], axis), rest, axis)], axis)
    shape = list(values.shape)
    shape[axis : axis + 1] = [shape[axis] // factor, factor]
    mean: NDArray[np.float32] = values.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return mean


def _weights(factor: int, length: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return, for each fine index, the block before it and its share of the way to the next block."""
    place = np.clip((np.arange(length) - (factor - 1) / 2) / factor, 0, size - 1)
    before = np.floor(place).astype(np.intp)
    return before, (place - before).astype(np.float32)


def _interpolate(values: NDArray[np.float32], factor: int, length: int, axis: int) -> NDArray[np.float32]:
    if factor == 1:
        return values
    before, weight = _weights(factor, length, values.shape[axis])
    after = np.minimum(before + 1, values.shape[axis] - 1)
    weight = weight.reshape([-1 if other == axis else 1 for other in range(3)])
    low = np.take(values, before, axis)
    return low + weight * (np.take(values, after, axis) - low)
