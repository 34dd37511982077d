"""A sampled volume with its place in the world."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a regular grid, ``[slice, row, column]``.

    Attributes
    ----------
    values
        Any numeric dtype, shape ``(num_slices, num_rows, num_columns)``. A canonical CT is int16 HU.
    world_from_index
        float64 ``(4, 4)``: index ``(slice, row, column, 1)`` of a voxel centre -> LPS world position in mm. In a
        canonical CT slices go to the patient's head (+z), rows to the back (+y), columns to the left (+x).

    Raises
    ------
    DrrxError
        Values are not 3-D, or the affine is not an invertible 4 x 4 matrix.
    """

    values: NDArray
    world_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.asarray(self.world_from_index, dtype=np.float64)
        if self.values.ndim != 3 or 0 in self.values.shape:
            raise DrrxError(
                where="Volume",
                found=f"values of shape {self.values.shape}",
                needed="three axes (slice, row, column), none empty",
                hint="Pick one volume of a series, or add the missing axis.",
            )
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
            raise DrrxError(
                where="Volume",
                found=f"affine {affine.tolist()}",
                needed="a finite, invertible 4 x 4 matrix",
                hint="Check spacing and direction in the header of the image.",
            )
        object.__setattr__(self, "world_from_index", affine)

    @classmethod
    def from_spacing(
        cls,
        values: NDArray,
        spacing_mm: tuple[float, float, float],
        origin_world_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Self:
        """Make an axis-aligned volume from ``(slice, row, column)`` spacing and the ``(x, y, z)`` of voxel 0, in mm."""
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
        affine[:3, 3] = origin_world_mm
        affine[3, 3] = 1.0
        return cls(values, affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        slices, rows, columns = self.values.shape
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along slice, row and column, in mm."""
        slice_mm, row_mm, column_mm = np.linalg.norm(self.world_from_index[:3, :3], axis=0)
        return float(slice_mm), float(row_mm), float(column_mm)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(abs(np.linalg.det(self.world_from_index[:3, :3])))

    @property
    def center_world_mm(self) -> NDArray[np.float64]:
        """World position ``(x, y, z)`` of the middle of the grid, in mm."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    def to_world(self, index: NDArray) -> NDArray[np.float64]:
        """Map indices ``(..., 3)`` in array order to LPS mm ``(..., 3)``."""
        return np.asarray(index) @ self.world_from_index[:3, :3].T + self.world_from_index[:3, 3]

    def to_index(self, world_mm: NDArray) -> NDArray[np.float64]:
        """Map LPS mm ``(..., 3)`` to indices ``(..., 3)`` in array order (not rounded)."""
        index_from_world = np.linalg.inv(self.world_from_index)
        return np.asarray(world_mm) @ index_from_world[:3, :3].T + index_from_world[:3, 3]

    def with_values(self, values: NDArray) -> "Volume":
        """Return a volume on the same grid with other values (same shape)."""
        if values.shape != self.values.shape:
            raise DrrxError(
                where="Volume.with_values",
                found=f"shape {values.shape}",
                needed=f"shape {self.values.shape}",
                hint="Resample onto the grid of the CT first.",
            )
        return Volume(values, self.world_from_index)
