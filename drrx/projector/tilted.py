"""Tilted views on a CPU: an untilted view from the same source, resampled.

All flat detectors see the same rays of one source, so the image on a tilted one is that on an untilted one, read at
other places. The untilted detector stands behind the volume with several pixels per voxel. There Joseph's sum is a sum
of hats as wide as the voxels' shadows or wider, and cubic convolution (Keys, IEEE TASSP 1981) finds it between pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

PER_VOXEL = np.array([8.0, 4.0])  # pixels of the untilted detector per voxel along a and b; rms error below 0.01 %
MARGIN = 3  # pixels around those that are read
STRIPE = 512  # rows of the untilted detector at once, so that memory stays small
DETOUR = 6  # a ray costs as much as so many pairs of a slice and an untilted column


@dataclass(frozen=True, eq=False)
class UntiltedDetector:
    """A detector in a plane of constant ``n`` behind the volume; axes (a, n, b) of the volume.

    Attributes
    ----------
    ray00, row_step, column_step
        float64 ``(3,)``, in voxels: from the source to the first pixel, and between pixels along ``a`` and ``b``.
    shape
        Number of rows and columns.
    """

    ray00: NDArray[np.float64]
    row_step: NDArray[np.float64]
    column_step: NDArray[np.float64]
    shape: tuple[int, int]

    def stripes(self) -> Iterator["UntiltedDetector"]:
        """Cut into stripes that overlap by what is read around a pixel."""
        for row in range(0, self.shape[0] - MARGIN, STRIPE):
            num_rows = min(STRIPE + MARGIN, self.shape[0] - row)
            yield replace(self, ray00=self.ray00 + row * self.row_step, shape=(num_rows, self.shape[1]))


def find_untilted(
    extents: NDArray, source: NDArray, ray00: NDArray, row_step: NDArray, column_step: NDArray, shape: tuple[int, int]
) -> UntiltedDetector | None:
    """Find the untilted detector for a tilted one, both in axes (a, n, b).

    Parameters
    ----------
    extents
        ``[a, n, 2]``: first and one past the last voxel of each line that may add something.
    source, ray00, row_step, column_step, shape
        The tilted view.

    Returns
    -------
    ``None`` where nothing is on the way, or the tilted detector has so few pixels that the detour does not pay.
    """
    is_used = extents[:, :, 1] > 0
    used_a, used_n = np.flatnonzero(is_used.any(axis=1)), np.flatnonzero(is_used.any(axis=0))
    if len(used_a) == 0:
        return None
    steps = row_step * (shape[0] - 1), column_step * (shape[1] - 1)
    rays = np.array([ray00 + r * steps[0] + c * steps[1] for r in (0, 1) for c in (0, 1)])
    distance = (used_n[-1] + 1 if ray00[1] > 0 else used_n[0] - 1) - source[1]
    ends_a, ends_b = (used_a[0] - 1, used_a[-1] + 1), (extents[..., 0].min() - 1, extents[..., 1].max())
    box = np.array([[a, n, b] for a in ends_a for n in (used_n[0], used_n[-1]) for b in ends_b]) - source
    corners, shadow = (points[:, ::2] * (distance / points[:, 1:2]) for points in (rays, box))
    first = np.floor(np.maximum(corners.min(0), shadow.min(0)) * PER_VOXEL) - MARGIN
    last = np.ceil(np.minimum(corners.max(0), shadow.max(0)) * PER_VOXEL) + MARGIN
    num_rows, num_columns = (last - first + 1).astype(int)
    if min(num_rows, num_columns) <= 2 * MARGIN or len(used_a) * num_columns > DETOUR * shape[0] * shape[1]:
        return None
    (a, b), (pitch_a, pitch_b) = first / PER_VOXEL, 1 / PER_VOXEL
    return UntiltedDetector(
        np.array([a, distance, b]), np.array([pitch_a, 0.0, 0.0]), np.array([0.0, 0.0, pitch_b]),
        (int(num_rows), int(num_columns)),
    )  # fmt: skip


def split_slabs(
    extents: NDArray, source: NDArray, ray00: NDArray, row_step: NDArray, column_step: NDArray, shape: tuple[int, int]
) -> tuple[NDArray, NDArray]:
    """Return the ``extents`` of the slabs that lie wholly before a tilted detector, and of those that it cuts."""
    steps = row_step[1] * (shape[0] - 1), column_step[1] * (shape[1] - 1)
    reach = [abs(ray00[1] + r * steps[0] + c * steps[1]) for r in (0, 1) for c in (0, 1)]
    distance = np.abs(np.arange(extents.shape[1]) - source[1])[None, :, None]
    nothing = np.array([np.iinfo(extents.dtype).max, 0], extents.dtype)
    is_cut = (distance > min(reach)) & (distance <= max(reach))
    return np.where(distance <= min(reach), extents, nothing), np.where(is_cut, extents, nothing)


@njit(cache=True, inline="always")
def _find_weights(share):  # type: ignore[no-untyped-def]
    """Weights of the four pixels around a place, ``share`` behind the second (Keys 1981, eq. 15)."""
    rest = 1.0 - share
    return (
        -0.5 * share * rest * rest, 1.0 + share * share * (1.5 * share - 2.5),
        1.0 + rest * rest * (1.5 * rest - 2.5), -0.5 * rest * share * share,
    )  # fmt: skip


@njit(parallel=True, cache=True)
def read_tilted(image, untilted, untilted_ray00, ray00, row_step, column_step):  # type: ignore[no-untyped-def]
    """Add a stripe of the untilted image to ``image``, both float32 ``[channel, row, column]``."""
    num_channels, num_rows, num_columns = untilted.shape
    per_a, per_b = PER_VOXEL
    for row in prange(image.shape[1]):
        for column in range(image.shape[2]):
            ray = ray00 + row * row_step + column * column_step
            scale = untilted_ray00[1] / ray[1]
            y = (ray[0] * scale - untilted_ray00[0]) * per_a
            x = (ray[2] * scale - untilted_ray00[2]) * per_b
            i, j = np.int64(np.floor(y)), np.int64(np.floor(x))
            if i < 1 or j < 1 or i > num_rows - MARGIN or j > num_columns - MARGIN:
                continue
            along, across = _find_weights(y - i), _find_weights(x - j)
            for channel in range(num_channels):
                total = 0.0
                for k in range(4):
                    line = untilted[channel, i - 1 + k]
                    for m in range(4):
                        total += along[k] * across[m] * line[j - 1 + m]
                image[channel, row, column] += total
