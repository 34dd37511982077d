"""A cube of CT around one nodule, 1 mm voxels: real patches and inserted nodules are brought to this one form."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.nodule.patch import grid_affine, sample_ct
from drrx.volume import Volume

SIZE_MM = 50  # edge, and number of voxels of 1 mm: the format of NODE21's patches
SHELL_MM = (3.0, 10.0)  # lung around a nodule is measured this far outside it
LUNG_BELOW_HU = -500
CORE_PERCENTILE = 80
REACH_MM = 1.0  # a body may reach so far beyond the mask it came with
RIM_MM = 2.0  # its blurred rim reaches so far beyond half height
NUM_OUTLINES = 3

Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Body:
    """The nodule in a cube as its HU outline it, whatever mask it came with.

    Attributes
    ----------
    mask
        bool ``[z, y, x]``: the piece above half way from ``hu_lung`` to ``hu_core``, up to 1 mm beyond the given mask.
    rim
        bool, the same grid: 2 mm around it, without other dense tissue.
    center_index
        Its centroid (z, y, x).
    diameter_mm
        Of the ball of its volume.
    hu_lung, hu_core
        Median of the lung 3-10 mm around, 80th percentile inside.
    hu_median
        Inside.
    contact
        Share of the 2 mm around it that is other dense tissue: wall, vessels.
    """

    mask: Mask
    rim: Mask
    center_index: NDArray[np.float64]
    diameter_mm: float
    hu_lung: float
    hu_core: float
    hu_median: float
    contact: float


def cut_cube(ct: Volume, share: Volume) -> tuple[Volume, Mask]:
    """Cut 50 mm around a nodule out of a CT, trilinear at 1 mm.

    Parameters
    ----------
    ct
        Canonical, HU. The cube's middle is a voxel of it: a patch that has 1 mm already comes out as it is.
    share
        Mask or occupancy of the nodule on a canonical grid of its own, any dtype.

    Returns
    -------
    cube, mask
        float32 HU and bool ``[z, y, x]``; a voxel is nodule where more than half of the largest share is.
    """
    center = share.to_world(np.array(ndimage.center_of_mass(share.values)))
    affine = grid_affine(ct.to_world(np.rint(ct.to_index(center))), np.full(3, SIZE_MM // 2), 1.0)
    voxels = [max(1, round(1 / mm)) for mm in share.spacing_mm]
    smooth = ndimage.uniform_filter(share.values.astype(np.float32), voxels, mode="constant")
    inside = sample_ct(share.with_values(np.pad(smooth[1:-1, 1:-1, 1:-1], 1)), (SIZE_MM,) * 3, affine)
    cube = Volume(sample_ct(ct, (SIZE_MM,) * 3, affine), affine)
    return cube, inside > 0.5 * float(inside.max())


def find_body(hu: Hu, mask: Mask) -> Body:
    """Outline a nodule by its HU, from a mask that may be too wide or too narrow.

    Parameters
    ----------
    hu
        float32 ``[z, y, x]``, 1 mm.
    mask
        bool, the same grid, not empty.
    """
    distance = ndimage.distance_transform_edt(~mask)
    shell = hu[(distance > SHELL_MM[0]) & (distance < SHELL_MM[1])]
    lung = shell[shell < LUNG_BELOW_HU]
    hu_lung = float(np.median(lung)) if len(lung) else -850.0
    body = mask
    for _ in range(NUM_OUTLINES):
        core = float(np.percentile(hu[body & mask], CORE_PERCENTILE))
        half = (hu_lung + core) / 2
        pieces, count = ndimage.label((hu > half) & (distance <= REACH_MM))
        overlap = np.bincount(pieces[mask], minlength=count + 1)[1:]
        if not overlap.any():
            break
        body = pieces == 1 + int(overlap.argmax())
    around = (ndimage.distance_transform_edt(~body) <= RIM_MM) & ~body
    rim = around & (hu <= half)
    return Body(
        body, rim, np.array(ndimage.center_of_mass(body)), float((6 / np.pi * body.sum()) ** (1 / 3)), hu_lung, core,
        float(np.median(hu[body])), 1 - float(rim.sum() / around.sum()),
    )  # fmt: skip
