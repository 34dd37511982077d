"""The shadow of one nodule: what it alone adds to the projection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.mask import Mask, place_window
from drrx.errors import DrrxError
from drrx.records.annotation import Point


@dataclass(frozen=True, eq=False)
class Shadow:
    """What one nodule adds to the projection, in a window of the detector.

    Attributes
    ----------
    path_mm
        float32 ``[row, column]``: path through the nodule (line integral of its occupancy), mm.
    delta_line_integral
        The same window: what the nodule adds to -ln(I/I0) of the primary beam, no unit.
    row, column
        Image pixel of the window's ``[0, 0]``.
    delta_log_signal
        The same window: what it adds to -ln of primary and scatter together, which is less; ``None`` where the
        scatter is not known. Without noise and blur.
    """

    path_mm: NDArray[np.float32]
    delta_line_integral: NDArray[np.float32]
    row: int = 0
    column: int = 0
    delta_log_signal: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        maps = [m for m in (self.path_mm, self.delta_line_integral, self.delta_log_signal) if m is not None]
        if self.path_mm.ndim != 2 or len({m.shape for m in maps}) > 1:
            raise DrrxError(
                where="Shadow", found=f"shapes {' and '.join(str(m.shape) for m in maps)}",
                needed="maps of one window [row, column]", hint="Project the nodule's patch again.",
            )  # fmt: skip

    def place(self, values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return a full-size map ``shape`` with ``values`` in this shadow's window and 0 elsewhere."""
        full = np.zeros(shape, dtype=np.float32)
        inside = self.place_mask(np.ones(values.shape, dtype=bool), shape)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if len(rows):
            full[np.ix_(rows, columns)] = values[np.ix_(rows - self.row, columns - self.column)]
        return full

    def place_mask(self, mask: Mask, shape: tuple[int, int]) -> Mask:
        """Return a full-size mask ``shape`` with ``mask`` in this shadow's window."""
        return place_window(mask, self.row, self.column, shape)

    @property
    def centroid_px(self) -> Point:
        """Path-weighted centroid ``(x, y)`` of the whole shadow, also of what lies outside the image."""
        path = self.path_mm.astype(np.float64)
        total = path.sum()
        row = float((path.sum(axis=1) * np.arange(path.shape[0])).sum() / total) + self.row
        column = float((path.sum(axis=0) * np.arange(path.shape[1])).sum() / total) + self.column
        return column + 0.5, row + 0.5


def shadows_to_arrays(shadows: Sequence[Shadow]) -> dict[str, NDArray]:
    """Return the arrays of ``paths.npz``: ``<number from 1>_<field>``; ``shadows_from_arrays`` is the inverse."""
    return {
        f"{number}_{key}": np.asarray(value)
        for number, shadow in enumerate(shadows, 1)
        for key, value in vars(shadow).items()
        if value is not None
    }


def shadows_from_arrays(arrays: Mapping[str, NDArray]) -> tuple[Shadow, ...]:
    """Return the shadows, in order, that ``shadows_to_arrays`` took apart."""
    count = sum(key.endswith("_path_mm") for key in arrays)
    return tuple(_take(arrays, f"{number}_") for number in range(1, count + 1))


def _take(arrays: Mapping[str, NDArray], prefix: str) -> Shadow:
    return Shadow(
        arrays[prefix + "path_mm"], arrays[prefix + "delta_line_integral"], int(arrays[prefix + "row"]),
        int(arrays[prefix + "column"]), arrays.get(prefix + "delta_log_signal"),
    )  # fmt: skip
