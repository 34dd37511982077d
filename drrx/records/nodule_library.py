"""A real nodule as a library holds it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class LibraryPatch:
    """A piece of CT around a nodule, and which voxels are nodule.

    Attributes
    ----------
    real_nodule_id
        Name in the library's index.
    ct
        HU, ``[slice, row, column]``, canonical (axis-aligned LPS); as large as the library made it.
    mask
        bool on the grid of ``ct``: one component that does not touch the border.
    sha256
        Hash of the two files.
    """

    real_nodule_id: str
    ct: Volume
    mask: NDArray[np.bool_]
    sha256: str

    def __post_init__(self) -> None:
        if self.mask.shape != self.ct.shape or self.mask.dtype != bool or not self.mask.any():
            raise DrrxError(
                where=f"library nodule {self.real_nodule_id}",
                found=f"a mask {self.mask.shape} of {self.mask.dtype} with {int(self.mask.sum())} voxels",
                needed=f"a bool mask {self.ct.shape} that is not empty", hint="Read the library with read_library.",
            )  # fmt: skip
