"""What an inserted nodule came to, from the arrays and the CT; its record says what it should be."""

from math import inf, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.patch import insert_nodules
from drrx.nodule.sample import render_nodule
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule, NodulePatch
from drrx.volume import Volume

MARGIN_VOXELS = 3


def measure_insertion(nodule: Nodule, patch: NodulePatch, ct: Volume, anatomy: Anatomy) -> dict[str, Any]:
    """Compare one nodule with its record.

    Sizes and places come from the occupancy and from the CT with the nodule minus the CT, on the CT's own grid. The HU
    asked for are those that the recorded nodule adds to even lung of its local HU: rendered from its numbers again.

    Returns
    -------
    dict
        ``volume``, ``diameter``: found over asked, less 1. ``recorded_volume``: recorded over found, less 1.
        ``hu_mass``: HU times volume in the CT over that in the patch, less 1. ``hu_share``: in the CT over asked;
        ``recorded_share``: that recorded less that found. ``replay``: largest difference of HU of the rendering again.
        ``center_asked_voxels``: from the body's centre asked for to the centroid (not where a pleura cuts the body);
        ``recorded_center_mm``: from recorded to found; ``center_ct_voxels``: from the centroid of the HU in the patch
        to that in the CT. Voxels are the CT's, largest of the three axes.
    """
    share, voxel = patch.occupancy.astype(np.float64), patch.grid.voxel_volume_mm3
    volume = float(share.sum()) * voxel
    diameter = (6 * volume / pi) ** (1 / 3)
    near = crop_ct(ct, patch)
    added = insert_nodules(near, [patch]).values.astype(np.float64) - near.values
    delta = patch.delta_hu.astype(np.float64)
    mass, patch_mass = float(added.sum()) * near.voxel_volume_mm3, float(delta.sum()) * voxel
    again = render_nodule(nodule, ct, anatomy)
    asked = render_nodule(nodule, near.with_values(np.full(near.shape, nodule.measures.hu_lung_local)), anatomy)
    asked_mass = float(asked.delta_hu.sum(dtype=np.float64)) * asked.grid.voxel_volume_mm3
    center = _centroid_mm(share, patch.grid)
    spacing = np.array(ct.spacing_mm)[::-1]
    moved = float(np.max(np.abs(center - nodule.center_world_mm) / spacing))
    measures = nodule.measures
    return {
        "volume": volume / (pi / 6 * nodule.diameter_mm**3) - 1, "diameter": diameter / nodule.diameter_mm - 1,
        "recorded_volume": measures.volume_mm3 / volume - 1,
        "hu_mass": mass / patch_mass - 1, "hu_share": mass / asked_mass,
        "recorded_share": measures.delta_hu_ratio - patch_mass / asked_mass, "replay": _difference_hu(again, patch),
        "center_asked_voxels": None if nodule.attachment == "juxtapleural" else moved,
        "recorded_center_mm": float(np.linalg.norm(center - measures.centroid_world_mm)),
        "center_ct_voxels": float(
            np.max(np.abs(_centroid_mm(added, near) - _centroid_mm(delta, patch.grid)) / spacing)
        ),
        "asked_mm3": pi / 6 * nodule.diameter_mm**3, "found_mm3": volume, "found_mm": diameter,
    }  # fmt: skip


def crop_ct(ct: Volume, patch: NodulePatch) -> Volume:
    """Return the part of the CT around a patch, with some voxels of margin."""
    corners = ct.to_index(patch.grid.to_world(np.array([np.zeros(3), np.array(patch.occupancy.shape) - 1])))
    low = np.maximum(np.floor(corners[0]).astype(int) - MARGIN_VOXELS, 0)
    high = np.ceil(corners[1]).astype(int) + MARGIN_VOXELS + 1
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(low)
    return Volume(ct.values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], affine)


def _difference_hu(first: NodulePatch, second: NodulePatch) -> float:
    if first.hu_after.shape != second.hu_after.shape:
        return inf
    return float(np.abs(first.hu_after - second.hu_after).max())


def _centroid_mm(weights: NDArray[np.float64], grid: Volume) -> NDArray[np.float64]:
    axes = np.meshgrid(*(np.arange(n) for n in weights.shape), indexing="ij", sparse=True)
    return grid.to_world(np.array([float((weights * axis).sum()) for axis in axes]) / weights.sum())
