"""Axis-aligned LPS volumes from any orientation."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.errors import CaseRefused
from drrx.io.axes import WORLD_AXES, match_axes
from drrx.io.hu import AIR_HU
from drrx.io.reading import Reading
from drrx.io.settings import ReadCtSettings
from drrx.volume import Volume

ALIGNED_DEG = 0.1
MIN_SPACING_MM = 0.1
# Tables of slices are rounded: 5.02 mm is still 5.
ROUNDING_MM = 0.05


def check_spacing(where: str, spacing_mm: tuple[float, ...], settings: ReadCtSettings) -> None:
    """Refuse (``BAD_SPACING``) voxels that are absurdly small or too wide; the widest axis counts as slices."""
    first, second, widest = sorted(spacing_mm)
    fine = np.isfinite(spacing_mm).all() and first >= MIN_SPACING_MM
    wide = second > settings.max_pixel_spacing_mm or widest > settings.max_slice_spacing_mm + ROUNDING_MM
    if not fine or wide:
        raise CaseRefused(
            "BAD_SPACING", where=where, found=f"voxels of {' x '.join(f'{mm:.4g}' for mm in spacing_mm)} mm",
            needed=f"{MIN_SPACING_MM} to {settings.max_pixel_spacing_mm:g} mm in a slice, "
            f"slices at most {settings.max_slice_spacing_mm:g} mm apart",
            hint="Check the header, use a thinner reconstruction, or change read_ct.max_slice_spacing_mm.",
        )  # fmt: skip


def orient(volume: Volume) -> Volume:
    """Permute and flip axes so that slices run mostly to +z, rows to +y and columns to +x; no voxel changes."""
    order = match_axes(volume.world_from_index)
    values = volume.values.transpose(order)
    affine = volume.world_from_index[:, [*order, 3]].copy()
    for axis, world in enumerate(WORLD_AXES):
        if affine[world, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
            values = np.flip(values, axis)
    return Volume(np.ascontiguousarray(values), affine)


def make_canonical(reading: Reading, where: str, settings: ReadCtSettings) -> Volume:
    """Return the canonical CT (int16 HU, axis-aligned LPS); padding must have become air before.

    A volume whose axes lie within 0.1 degrees of the world's is only permuted and flipped. Others are resampled
    (trilinear, air outside) onto the smallest axis-aligned grid around them, and that is noted.

    Raises
    ------
    CaseRefused
        ``BAD_SPACING``, or ``GANTRY_TILT`` beyond ``max_tilt_deg``.
    """
    check_spacing(where, reading.volume.spacing_mm, settings)
    volume = orient(reading.volume)
    directions = volume.world_from_index[:3, :3] / np.array(volume.spacing_mm)
    off_axis = float(np.degrees(np.arccos(np.clip(directions[list(WORLD_AXES), [0, 1, 2]], -1, 1))).max())
    if off_axis > ALIGNED_DEG:
        tilt = _tilt_deg(directions)
        if tilt > settings.max_tilt_deg:
            raise CaseRefused(
                "GANTRY_TILT", where=where, found=f"slices sheared by {tilt:.1f} degrees",
                needed=f"at most {settings.max_tilt_deg:g} degrees", hint="Use a series without gantry tilt.",
            )  # fmt: skip
        code = "TILT_CORRECTED" if tilt > ALIGNED_DEG else "OBLIQUE_RESAMPLED"
        reading.correct(code, f"sheared by {tilt:.2f}, turned by {off_axis:.2f} degrees; resampled to straight axes")
        volume = straighten(volume)
    spacing_mm = tuple(float(np.float32(mm)) for mm in volume.spacing_mm)
    # float32 is what the file keeps: so memory and file agree to the bit.
    x, y, z = (float(np.float32(mm)) for mm in volume.world_from_index[:3, 3])
    return Volume.from_spacing(volume.values, (spacing_mm[0], spacing_mm[1], spacing_mm[2]), (x, y, z))


def _tilt_deg(directions: NDArray[np.float64]) -> float:
    """Return how far the axes are from standing square on each other, in degrees."""
    cosines = np.abs((directions.T @ directions)[[0, 0, 1], [1, 2, 2]])
    return float(np.degrees(np.arcsin(np.clip(cosines, 0, 1))).max())


def straighten(volume: Volume) -> Volume:
    """Resample an oblique or sheared volume (already oriented) onto an axis-aligned grid around it."""
    corners = volume.to_world(np.array(list(np.ndindex(2, 2, 2))) * (np.array(volume.shape) - 1))
    low, high = corners.min(axis=0), corners.max(axis=0)
    spacing = np.abs(volume.world_from_index[list(WORLD_AXES), [0, 1, 2]])
    shape = np.ceil((high - low)[list(WORLD_AXES)] / spacing - 1e-6).astype(int) + 1
    target = Volume.from_spacing(np.zeros((1, 1, 1), np.int16), tuple(spacing), tuple(low))
    index_from_index = np.linalg.inv(volume.world_from_index) @ target.world_from_index
    values = ndimage.affine_transform(
        volume.values, index_from_index[:3, :3], index_from_index[:3, 3], tuple(shape), np.int16, order=1,
        mode="grid-constant", cval=AIR_HU,
    )  # fmt: skip
    return Volume(values, target.world_from_index)
