"""What an inserted nodule came to, from the arrays and the CT; its record says what it should be."""

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.nodule_library import LibraryNodule
from drrx.nodule.patch import insert_nodules
from drrx.nodule.sample import render_nodule
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

MARGIN_VOXELS = 3
OTHER_GRID_HU = 1e4  # a rendering on another grid counts as this far off

Values = NDArray[np.float64]


def measure_insertion(
    nodule: Nodule, patch: NodulePatch, ct: Volume, anatomy: Anatomy, library: Sequence[LibraryNodule] = ()
) -> dict[str, Any]:
    """Compare one nodule with its record.

    Sizes and places come from the occupancy and from the CT with the nodule minus the CT, on the CT's own grid. The HU
    asked for are those that the recorded nodule adds to even lung of its local HU: rendered from its numbers again.

    Parameters
    ----------
    nodule, patch
        Record and arrays.
    ct, anatomy
        Of its case, without inserted nodules.
    library
        What it was transplanted from, if it was; without, it is not rendered again.

    Returns
    -------
    dict
        ``volume``, ``diameter``: found over asked, less 1. ``recorded_volume``: recorded over found, less 1.
        ``hu_mass``: HU times volume in the CT over that in the patch, less 1. ``hu_share``: in the CT over asked;
        ``recorded_share``: that recorded less that found. ``replay``: largest difference of HU of the rendering again.
        ``center_asked_voxels``: from the body's centre asked for to the centroid (not where a pleura cuts the body);
        ``recorded_center_mm``: from recorded to found; ``center_ct_voxels``: from the centroid of the HU in the patch
        to that in the CT. Voxels are the CT's, largest of the three axes. What cannot be told is ``None``.
    """
    near = crop_ct(ct, patch)
    added = insert_nodules(near, [patch]).values.astype(np.float64) - near.values
    mass = float(added.sum()) * near.voxel_volume_mm3
    patch_mass = _mass(patch)
    found = _measure_size(nodule, patch) | _measure_center(nodule, patch, near.with_values(added))
    found |= {"hu_mass": mass / patch_mass - 1, "hu_share": None, "recorded_share": None, "replay": None}
    if nodule.transplant is None or library:
        lung = near.with_values(np.full(near.shape, nodule.measures.hu_lung_local))
        asked_mass = _mass(render_nodule(nodule, lung, anatomy, library))
        again = render_nodule(nodule, ct, anatomy, library)
        found |= {"hu_share": mass / asked_mass, "replay": _difference_hu(again, patch)}
        found |= {"recorded_share": nodule.measures.delta_hu_ratio - patch_mass / asked_mass}
    return found


def crop_ct(ct: Volume, patch: NodulePatch) -> Volume:
    """Return the part of the CT around a patch, with some voxels of margin."""
    corners = ct.to_index(patch.grid.to_world(np.array([np.zeros(3), np.array(patch.occupancy.shape) - 1])))
    low = np.maximum(np.floor(corners[0]).astype(int) - MARGIN_VOXELS, 0)
    high = np.ceil(corners[1]).astype(int) + MARGIN_VOXELS + 1
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(low)
    return Volume(ct.values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], affine)


def _measure_size(nodule: Nodule, patch: NodulePatch) -> dict[str, Any]:
    asked = pi / 6 * nodule.diameter_mm**3
    volume = float(patch.occupancy.sum(dtype=np.float64)) * patch.grid.voxel_volume_mm3
    diameter = (6 * volume / pi) ** (1 / 3)
    return {
        "asked_mm3": asked, "found_mm3": volume, "found_mm": diameter, "volume": volume / asked - 1,
        "diameter": diameter / nodule.diameter_mm - 1, "recorded_volume": nodule.measures.volume_mm3 / volume - 1,
    }  # fmt: skip


def _measure_center(nodule: Nodule, patch: NodulePatch, added: Volume) -> dict[str, Any]:
    """Compare centroids; ``added`` holds the HU that the nodule adds to the CT, on the CT's grid."""
    center = _centroid_mm(patch.grid)
    voxel = np.array(added.spacing_mm)[::-1]
    moved = float(np.max(np.abs(center - nodule.center_world_mm) / voxel))
    kept = np.abs(_centroid_mm(added) - _centroid_mm(patch.grid.with_values(patch.delta_hu))) / voxel
    return {
        "center_asked_voxels": None if nodule.attachment == "juxtapleural" else moved,
        "recorded_center_mm": float(np.linalg.norm(center - nodule.measures.centroid_world_mm)),
        "center_ct_voxels": float(kept.max()),
    }  # fmt: skip


def _mass(patch: NodulePatch) -> float:
    return float(patch.delta_hu.sum(dtype=np.float64)) * patch.grid.voxel_volume_mm3


def _difference_hu(first: NodulePatch, second: NodulePatch) -> float:
    if first.hu_after.shape != second.hu_after.shape:
        return OTHER_GRID_HU
    return float(np.abs(first.hu_after - second.hu_after).max())


def _centroid_mm(weights: Volume) -> Values:
    values = weights.values.astype(np.float64)
    axes = np.meshgrid(*(np.arange(n) for n in values.shape), indexing="ij", sparse=True)
    return weights.to_world(np.array([float((values * axis).sum()) for axis in axes]) / values.sum())
