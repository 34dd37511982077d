"""Real nodules, cut free from the lung around them.

A mask says which voxels are nodule, but voxels at its rim are half lung. Each is taken for a mix, ``HU = w T + (1 - w)
lung``, of nodule tissue with the HU ``T`` of the nearest voxel deep inside and of the lung around the nodule; the
shares ``w`` are a soft mask that cuts off what a generous mask holds of plain lung.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    maximum_filter,
)
from skimage.morphology import convex_hull_image

from drrx.errors import DrrxError
from drrx.nodule.kind import find_kind
from drrx.records.nodule import Kind, Margin
from drrx.records.nodule_library import LibraryPatch
from drrx.records.nodule_shape import Triple

LUNG_SHELL_MM = (2.0, 10.0)
MAX_LUNG_HU = -500.0
MIN_LUNG_VOXELS = 50
CORE_DEPTH_MM = 1.5  # deeper than this a voxel is nodule through and through, or half as deep as the nodule goes
# An edge to lung rises over 2 mm; below a quarter of its height a voxel is lung rather than ground glass.
EDGE_MM, EDGE_SHARE = 2.0, 0.25
REACH_MM = 1.0  # outside a tight mask a blurred nodule falls from half a voxel to nothing over this distance
MIN_SHARE_OUTSIDE = 0.1  # less is noise of the lung
MIN_SHARE_TOGETHER = 0.25
MIN_CONTRAST_HU, VESSEL_EXCESS_HU = 100.0, 100.0
# Margins by the share of the convex hull that the mask fills
SMOOTH_SOLIDITY, LOBULATED_SOLIDITY, MIN_MARGIN_MM = 0.9, 0.8, 8.0
FREE_SHELL_MM, FREE_HU = (1.5, 3.5), -400.0

Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LibraryNodule:
    """A real nodule without its lung.

    Attributes
    ----------
    real_nodule_id, sha256
        Name in the library's index, and hash of its two files.
    share, tissue_hu
        float32 ``[z, y, x]``: share of each voxel that is nodule, and HU of that share.
    spacing_mm
        Of those grids along (z, y, x); they lie along the world's axes.
    center_index
        Centroid of the shares, (z, y, x).
    diameter_mm
        Diameter of the ball with the volume of the shares.
    kind, margin
        Type from the HU, margin class from the shape of the mask.
    hu_body, hu_lung
        Mean HU of its tissue, and the lung it lay in.
    free_share
        Share of its surroundings that is lung; the rest is pleura, chest wall or vessel.
    """

    real_nodule_id: str
    sha256: str
    share: Grid
    tissue_hu: Grid
    spacing_mm: Triple
    center_index: NDArray[np.float64]
    diameter_mm: float
    kind: Kind
    margin: Margin
    hu_body: float
    hu_lung: float
    free_share: float

    @property
    def hu_range(self) -> tuple[float, float]:
        """Lowest and highest HU of its tissue."""
        found = self.tissue_hu[self.share > 0]
        return float(found.min()), float(found.max())

    @property
    def voxels_mm(self) -> NDArray[np.float64]:
        """Centres of the voxels that are partly nodule, ``(count, 3)``: (z, y, x) mm from the nodule's centre."""
        return np.asarray((np.argwhere(self.share > 0) - self.center_index) * self.spacing_mm)


def make_library(patches: Sequence[LibraryPatch]) -> tuple[LibraryNodule, ...]:
    """Cut every nodule of a library free, in its order."""
    return tuple(cut_free(patch) for patch in patches)


def cut_free(patch: LibraryPatch) -> LibraryNodule:
    """Return the nodule of a patch without the lung around it.

    Raises
    ------
    DrrxError
        There is no aerated lung around the mask, so that nothing tells what to take away.
    """
    spacing = patch.ct.spacing_mm
    window = _find_window(patch.mask, spacing)
    hu, mask = patch.ct.values[window].astype(np.float32), patch.mask[window]
    inside, outside = (distance_transform_edt(part, sampling=spacing) for part in (mask, ~mask))
    lung = _find_lung_hu(patch, hu, outside)
    share, tissue = _matte(hu, inside, outside, lung, spacing)
    weight = share / share.sum(dtype=np.float64)
    volume = float(share.sum(dtype=np.float64)) * patch.ct.voxel_volume_mm3
    diameter = (6 * volume / pi) ** (1 / 3)
    center = [
        float((weight.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(n)).sum()) for axis, n in enumerate(hu.shape)
    ]
    shell = (outside >= FREE_SHELL_MM[0]) & (outside <= FREE_SHELL_MM[1])
    return LibraryNodule(
        patch.real_nodule_id, patch.sha256, share, tissue, spacing, np.array(center), diameter,
        find_kind(tissue, share), _find_margin(mask, diameter), float((weight * tissue).sum()), lung,
        float((hu[shell] < FREE_HU).mean()),
    )  # fmt: skip


def _find_window(mask: Mask, spacing_mm: Triple) -> tuple[slice, ...]:
    """Return the box around a mask within which the lung is looked at."""
    steps = [int(np.ceil(LUNG_SHELL_MM[1] / mm)) + 1 for mm in spacing_mm]
    return tuple(
        slice(max(0, part.start - more), part.stop + more)
        for part, more in zip(find_objects(mask.view(np.uint8))[0], steps, strict=True)
    )


def _find_lung_hu(patch: LibraryPatch, hu: Grid, outside: NDArray[np.float64]) -> float:
    """Median of aerated voxels around the mask: vessels, pleura and chest wall do not count."""
    around = hu[(outside >= LUNG_SHELL_MM[0]) & (outside <= LUNG_SHELL_MM[1]) & (hu < MAX_LUNG_HU)]
    if around.size < MIN_LUNG_VOXELS:
        raise DrrxError(
            where=f"library nodule {patch.real_nodule_id}",
            found=f"{around.size} voxels below {MAX_LUNG_HU:g} HU within {LUNG_SHELL_MM[1]:g} mm of the mask",
            needed=f"{MIN_LUNG_VOXELS} voxels of lung, to know what to take away",
            hint="Cut the patch larger, check that it is in HU, or leave this nodule out of the index.",
        )  # fmt: skip
    return float(np.median(around))


def _matte(
    hu: Grid, inside: NDArray[np.float64], outside: NDArray[np.float64], lung: float, spacing_mm: Triple
) -> tuple[Grid, Grid]:
    """Return how much of each voxel is nodule, and the HU of that part; together they give the voxel's HU back."""
    core = _find_core(hu, inside - min(spacing_mm) / 2, lung, spacing_mm)
    spread = gaussian_filter(np.where(core, hu, 0), 1.0) / np.maximum(
        gaussian_filter(core.astype(np.float32), 1.0), 1e-6
    )
    nearest = distance_transform_edt(~core, sampling=spacing_mm, return_distances=False, return_indices=True)
    tissue = np.maximum(spread[tuple(nearest)], np.float32(lung + MIN_CONTRAST_HU))
    share = np.clip((hu - lung) / (tissue - lung), 0, 1)
    beyond = inside == 0
    # What is brighter out there than the tail of an edge is a vessel or the pleura: it is cut to such a tail.
    tail = 0.5 * np.clip(1 - (outside - min(spacing_mm)) / REACH_MM, 0, 1)
    share = np.where(beyond, np.where(share < MIN_SHARE_OUTSIDE, 0, np.minimum(share, tail)), share)
    share[core] = 1
    share[~_hang_together(share, core)] = 0
    # Likewise at the rim: tissue much brighter than that beside it is a vessel that the mask took in.
    tissue = np.where(core, hu, np.where(beyond, tissue, np.clip(hu, tissue, tissue + VESSEL_EXCESS_HU)))
    return share.astype(np.float32), tissue.astype(np.float32)


def _find_core(hu: Grid, depth_mm: NDArray[np.float64], lung: float, spacing_mm: Triple) -> Mask:
    """Return what is nodule through and through: the largest part deep in the mask that is no edge.

    In the foot of an edge the HU is less than a quarter of the way from lung to the densest tissue within 2 mm. What
    the part closes in (the air of a cavity) belongs to it.
    """
    deep = depth_mm >= min(CORE_DEPTH_MM, depth_mm.max() / 2)
    smooth = gaussian_filter(hu, 1.0)
    near = maximum_filter(smooth, [2 * round(EDGE_MM / mm) + 1 for mm in spacing_mm])
    dense = (depth_mm > 0) & (smooth > lung + EDGE_SHARE * np.maximum(near - lung, MIN_CONTRAST_HU))
    parts, count = label(deep & binary_fill_holes(dense))
    if not count:
        return np.asarray(deep)
    return np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)


def _hang_together(share: NDArray[np.float64], core: Mask) -> Mask:
    """Return what hangs together with the core: a rim of pleura that lung parts from the nodule does not."""
    parts, _ = label((gaussian_filter(share, 0.7) > MIN_SHARE_TOGETHER) | core)
    joined = np.isin(parts, np.unique(parts[core]))
    return np.asarray(binary_dilation(joined, np.ones((3, 3, 3))))


def _find_margin(mask: Mask, diameter_mm: float) -> Margin:
    """Return the margin by how well the mask fills its convex hull; a small one shows no more than a smooth margin."""
    if diameter_mm < MIN_MARGIN_MM:
        return "smooth"
    tight = mask[find_objects(mask.view(np.uint8))[0]]
    solidity = tight.sum() / convex_hull_image(tight, offset_coordinates=False).sum()
    if solidity >= SMOOTH_SOLIDITY:
        return "smooth"
    return "lobulated" if solidity >= LOBULATED_SOLIDITY else "spiculated"
