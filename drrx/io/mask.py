"""A user's own mask, brought onto the grid of the CT."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.errors import CaseRefused
from drrx.io.ct import read_volume_file
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import ANY_COMPRESSION
from drrx.volume import Volume

MIN_INSIDE_SHARE = 0.5


def read_mask(path: Path | str, like: Volume, settings: ReadCtSettings | None = None) -> NDArray[np.bool_]:
    """Read a mask (NIfTI, MHD/MHA, NRRD; every value above zero is inside) onto the grid of ``like``.

    Parameters
    ----------
    path
        Mask in any orientation and resolution; its header says where it lies.
    like
        The canonical CT.
    settings
        Limits of reading; defaults when None.

    Returns
    -------
    NDArray
        bool ``[slice, row, column]`` on the CT's grid, nearest neighbour; outside the mask's own grid it is False.

    Raises
    ------
    CaseRefused
        The reasons of :mod:`drrx.io.ct`, or ``MASK_MISMATCH``: empty, or mostly outside the CT.
    """
    path = Path(path)
    limits = replace(settings or ReadCtSettings(), max_compression=ANY_COMPRESSION)  # masks pack further than any CT
    mask = read_volume_file(path, limits).volume
    inside = mask.values > 0
    index_from_index = np.linalg.inv(mask.world_from_index) @ like.world_from_index
    found = ndimage.affine_transform(
        inside.astype(np.uint8), index_from_index[:3, :3], index_from_index[:3, 3], like.shape, np.uint8, order=0,
        mode="grid-constant",
    ).astype(bool)  # fmt: skip
    expected = inside.sum() * mask.voxel_volume_mm3 / like.voxel_volume_mm3
    if not expected or found.sum() < MIN_INSIDE_SHARE * expected:
        raise CaseRefused(
            "MASK_MISMATCH", where=path.name, found=f"{int(inside.sum())} voxels, {int(found.sum())} of them in the CT",
            needed="a mask that lies on its CT", hint="Check that mask and CT belong together and keep their headers.",
        )  # fmt: skip
    return found
