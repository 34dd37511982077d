"""A view in the index frame of a volume, as the kernels need it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class IndexRays:
    """Source and pixels in (slice, row, column) indices of one volume, with the axis the rays mostly follow.

    Attributes
    ----------
    axis
        Volume axis along which the rays step (Joseph's dominant axis).
    across
        The two other axes; of a frontal view (slice, column).
    source_index, pixel00_index, row_step_index, column_step_index
        float64 ``(3,)``, in array order of the volume.
    view
        The view in the world.
    """

    axis: int
    across: tuple[int, int]
    source_index: NDArray[np.float64]
    pixel00_index: NDArray[np.float64]
    row_step_index: NDArray[np.float64]
    column_step_index: NDArray[np.float64]
    view: View

    @property
    def length_terms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Terms of the length of a ray inside one slab of voxels, ``sqrt(square) / abs(slabs)`` in mm.

        ``square`` (mm2) has the factors of 1, row, column, row^2, column^2, row * column; ``slabs`` of 1, row, column.
        """
        ray, row, column = (
            self.view.pixel00_world_mm - self.view.source_world_mm, self.view.row_step_world_mm,
            self.view.column_step_world_mm,
        )  # fmt: skip
        square = [ray @ ray, 2 * ray @ row, 2 * ray @ column, row @ row, column @ column, 2 * row @ column]
        slabs = [vector[self.axis] for vector in (self.pixel00_index - self.source_index, self.row_step_index)]
        return np.array(square), np.array([*slabs, self.column_step_index[self.axis]])

    @property
    def is_separable(self) -> bool:
        """Whether every slab maps onto the detector by scale and shift: detector axes along the volume's own."""
        first, second = self.across
        off = [self.row_step_index[self.axis], self.row_step_index[second]]
        off += [self.column_step_index[self.axis], self.column_step_index[first]]
        return bool(np.max(np.abs(off)) < 1e-9)


def make_index_rays(volume: Volume, view: View) -> IndexRays:
    """Express ``view`` in the indices of ``volume``.

    Raises
    ------
    DrrxError
        The source lies inside the volume, or rays run along more than one axis (a view wider than the kernel steps).
    """
    source, pixel00 = volume.to_index(view.source_world_mm), volume.to_index(view.pixel00_world_mm)
    row_step = volume.to_index(view.pixel_world_mm(np.array(1), np.array(0))) - pixel00
    column_step = volume.to_index(view.pixel_world_mm(np.array(0), np.array(1))) - pixel00
    num_rows, num_columns = view.shape
    center = pixel00 + (num_rows - 1) / 2 * row_step + (num_columns - 1) / 2 * column_step
    axis = int(np.argmax(np.abs(center - source) * volume.spacing_mm))
    rows, columns = np.array([[0], [num_rows - 1]]), np.array([0, num_columns - 1])  # corners are the extremes
    slabs = pixel00[axis] + rows * row_step[axis] + columns * column_step[axis] - source[axis]
    if (np.abs(slabs) < 1e-6).any() or np.ptp(np.sign(slabs)) > 0 or (-1 < source[axis] < volume.shape[axis]):
        raise DrrxError(
            where=f"view {view.name}", found=f"source at index {np.round(source, 1).tolist()} of {volume.shape}",
            needed="a source outside the volume and rays that all run the same way",
            hint="Move the source away from the volume, or make the detector smaller.",
        )  # fmt: skip
    across = (1, 2) if axis == 0 else (0, 2) if axis == 1 else (0, 1)
    return IndexRays(axis, across, source, pixel00, row_step, column_step, view)
