"""A nodule on a small grid of its own, ready to be projected alone."""

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class NodulePatch:
    """A nodule on its own fine grid, ready to be projected alone.

    Attributes
    ----------
    occupancy
        float32 ``[z, y, x]`` in 0..1: share of each voxel that is nodule (body and spicules, without halo).
    hu_before, hu_after
        float32 ``[z, y, x]`` HU of the CT on this grid (trilinear) without and with the nodule.
    world_from_index
        float64 ``(4, 4)``: index (z, y, x, 1) of a voxel centre -> LPS mm; axis-aligned, cubes of at most
        0.35 mm; for a real nodule a part of the CT's own grid.
    """

    occupancy: NDArray[np.float32]
    hu_before: NDArray[np.float32]
    hu_after: NDArray[np.float32]
    world_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        arrays = (self.occupancy, self.hu_before, self.hu_after)
        shapes, dtypes = {a.shape for a in arrays}, {str(a.dtype) for a in arrays}
        if len(shapes) != 1 or dtypes != {"float32"} or not all(np.isfinite(a).all() for a in arrays):
            raise DrrxError(
                where="NodulePatch", found=f"shapes {sorted(shapes)}, dtypes {sorted(dtypes)}",
                needed="three finite float32 arrays of one shape", hint="Render the nodule again.",
            )  # fmt: skip
        object.__setattr__(self, "world_from_index", Volume(self.occupancy, self.world_from_index).world_from_index)

    @property
    def delta_hu(self) -> NDArray[np.float32]:
        """HU that the nodule adds, ``[z, y, x]``."""
        return self.hu_after - self.hu_before

    @property
    def grid(self) -> Volume:
        """The occupancy as a ``Volume``."""
        return Volume(self.occupancy, self.world_from_index)

    @property
    def volume_mm3(self) -> float:
        """Sum of the occupancy in mm3."""
        return float(self.occupancy.sum(dtype=np.float64)) * self.grid.voxel_volume_mm3


def patches_to_arrays(patches: tuple[NodulePatch, ...]) -> dict[str, NDArray]:
    """Return the arrays of ``nodules.npz``: ``<number from 1>_<field>``; ``patches_from_arrays`` is the inverse."""
    names = [field.name for field in dataclasses.fields(NodulePatch)]
    return {f"{i}_{name}": getattr(patch, name) for i, patch in enumerate(patches, 1) for name in names}


def patches_from_arrays(arrays: dict[str, NDArray]) -> tuple[NodulePatch, ...]:
    """Return the patches, in order, that ``patches_to_arrays`` took apart (an open ``.npz`` is fine)."""
    names = [field.name for field in dataclasses.fields(NodulePatch)]
    count = len([key for key in arrays if key.endswith("_occupancy")])
    return tuple(NodulePatch(**{n: cast("Any", arrays[f"{i}_{n}"]) for n in names}) for i in range(1, count + 1))
