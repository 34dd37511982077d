"""Shapes in millimetres on anisotropic grids."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def crop_box(mask: Mask, margin_mm: float, spacing_mm: Spacing) -> tuple[slice, ...]:
    """Return the smallest box around a mask, wider by ``margin_mm``; the whole array if the mask is empty."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found or found[0] is None:
        return tuple(slice(0, size) for size in mask.shape)
    more = [int(np.ceil(margin_mm / mm)) + 1 for mm in spacing_mm]
    return tuple(
        slice(max(0, part.start - extra), min(size, part.stop + extra))
        for part, extra, size in zip(found[0], more, mask.shape, strict=True)
    )


def dilate(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Return all voxels within ``radius_mm`` of the mask (exact Euclidean distance)."""
    if not mask.any():
        return mask.copy()
    box = crop_box(mask, radius_mm, spacing_mm)
    grown = np.zeros_like(mask)
    grown[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm) <= radius_mm
    return grown


def erode(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Return the voxels further than ``radius_mm`` from the outside; the rim of the array does not count as outside."""
    if not mask.any() or mask.all():
        return mask.copy()
    box = crop_box(mask, 0.0, spacing_mm)
    shrunk = np.zeros_like(mask)
    shrunk[box] = ndimage.distance_transform_edt(mask[box], sampling=spacing_mm) > radius_mm
    return shrunk


def erode_roughly(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Erode by about ``radius_mm`` in quick steps (an octahedron, not a ball); the rim of the array is no outside."""
    steps = [round(radius_mm / mm) for mm in spacing_mm]
    for step in range(max(steps)):
        cross = ndimage.generate_binary_structure(3, 1)
        for axis, count in enumerate(steps):
            if step >= count:  # a coarse axis is done after fewer steps
                cross &= np.indices(cross.shape)[axis] == 1
        mask = ndimage.binary_erosion(mask, cross, border_value=1)
    return mask


def close_slices(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Close each axial slice with a disc of about ``radius_mm``."""
    reach = [max(1, round(radius_mm / mm)) for mm in spacing_mm[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = ((rows * spacing_mm[1]) ** 2 + (columns * spacing_mm[2]) ** 2 <= radius_mm**2)[None]
    closed: Mask = ndimage.binary_erosion(ndimage.binary_dilation(mask, disc), disc, border_value=1)
    return closed | mask


def open_(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Remove what a ball of ``radius_mm`` does not fit into."""
    return dilate(erode(mask, radius_mm, spacing_mm), radius_mm, spacing_mm)


def close(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Fill what a ball of ``radius_mm`` does not fit into; the mask is extended beyond the rim, not cut there."""
    if not mask.any():
        return mask.copy()
    box = crop_box(mask, radius_mm, spacing_mm)
    pad = [(int(np.ceil(radius_mm / mm)) + 1,) * 2 for mm in spacing_mm]
    near = ndimage.distance_transform_edt(~np.pad(mask[box], pad), sampling=spacing_mm) <= radius_mm
    shrunk = ndimage.distance_transform_edt(near, sampling=spacing_mm) > radius_mm
    closed = mask.copy()
    closed[box] |= shrunk[tuple(slice(low, -high) for low, high in pad)]
    return closed


def label_sizes(mask: Mask) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return components (6-connected) and their sizes in voxels; index 0 is the background with size 0."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


def keep_large(mask: Mask, min_voxels: float) -> Mask:
    """Return the components of at least ``min_voxels``."""
    labels, sizes = label_sizes(mask)
    kept: Mask = (sizes >= max(min_voxels, 1))[labels]
    return kept


def keep_largest(mask: Mask) -> Mask:
    """Return the largest component."""
    labels, sizes = label_sizes(mask)
    return labels == sizes.argmax() if sizes.any() else mask.copy()


def reconstruct(seed: Mask, mask: Mask) -> Mask:
    """Return the components of ``mask`` that contain a voxel of ``seed``."""
    labels, sizes = label_sizes(mask)
    hit = np.zeros(len(sizes), dtype=bool)
    hit[labels[seed]] = True
    hit[0] = False
    kept: Mask = hit[labels]
    return kept


def fill_slices(mask: Mask, axes: tuple[int, ...] = (0,)) -> Mask:
    """Fill holes in every plane across each of ``axes``, one axis after the other."""
    filled = mask.copy()
    for axis in axes:
        view = np.moveaxis(filled, axis, 0)
        for index in range(view.shape[0]):
            if view[index].any():
                view[index] = ndimage.binary_fill_holes(view[index])
    return filled
