"""From a rendered shape to a patch of CT: blur, compositing, cropping, and back onto the CT's own grid."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from drrx.errors import DrrxError
from drrx.nodule.shape import RenderedShape
from drrx.records.nodule import Kind, NodulePatch, Triple
from drrx.volume import Volume

FWHM_PER_SIGMA = 2.354820
SMALLEST_SHARE = 1e-3  # tails of the blur below this are cut
GLASS_CEILING_HU = 60.0  # ground glass brightens nothing beyond its target + this, so vessels shine through

Grid = NDArray[np.float32]


def blur_shape(rendered: RenderedShape, psf_fwhm_mm: Triple) -> RenderedShape:
    """Convolve every part with the Gaussian of the scanner, FWHM along (z, y, x) in mm; the sums stay."""
    if not any(psf_fwhm_mm):
        return rendered
    sigmas = [width / FWHM_PER_SIGMA / rendered.spacing_mm for width in psf_fwhm_mm]
    pad = [(int(np.ceil(3 * sigma)) + 1,) * 2 for sigma in sigmas]
    return rendered.with_parts(
        {
            name: np.clip(gaussian_filter(np.pad(values, pad), sigmas, mode="constant", truncate=3.0), 0, 1)
            for name, values in rendered.parts()
        }
    )


def crop_shape(rendered: RenderedShape) -> tuple[RenderedShape, NDArray[np.int64]]:
    """Crop to where any part exists; also return the index (z, y, x) of the nodule's centre on the cropped grid."""
    parts = dict(rendered.parts())
    parts = {name: np.where(values < SMALLEST_SHARE, np.float32(0), values) for name, values in parts.items()}
    union = np.maximum.reduce(list(parts.values()))
    center = (np.array(union.shape) - 1) // 2
    window, low = [], np.zeros(3, dtype=np.int64)
    for axis in range(3):
        used = np.flatnonzero(union.any(axis=tuple(i for i in range(3) if i != axis)))
        low[axis] = used[0]
        window.append(slice(used[0], used[-1] + 1))
    return rendered.with_parts({name: values[tuple(window)] for name, values in parts.items()}), center - low


def grid_affine(center_world_mm: NDArray, center_index: NDArray, spacing_mm: float) -> NDArray[np.float64]:
    """Return ``world_from_index`` of a cube grid (z, y, x) whose voxel ``center_index`` lies at the centre."""
    grid = Volume.from_spacing(np.zeros((1, 1, 1)), (spacing_mm,) * 3)
    affine = grid.world_from_index.copy()
    affine[:3, 3] = np.asarray(center_world_mm) - np.asarray(center_index)[::-1] * spacing_mm
    return affine


def axis_coordinates(volume: Volume, shape: Sequence[int], world_from_index: NDArray) -> list[NDArray[np.float64]]:
    """Return, per axis, the fractional indices in ``volume`` of a grid's voxel centres (both canonical)."""
    index_from_index = np.linalg.inv(volume.world_from_index) @ world_from_index
    off_diagonal = index_from_index[:3, :3] - np.diag(np.diag(index_from_index[:3, :3]))
    if np.abs(off_diagonal).max() > 1e-6 or (np.diag(index_from_index)[:3] <= 0).any():
        raise DrrxError(
            where="nodule", found=f"CT axes {volume.world_from_index[:3, :3].tolist()}",
            needed="a canonical CT: slices to the head, rows to the back, columns to the patient's left",
            hint="Read the CT with drrx read-ct first.",
        )  # fmt: skip
    return [index_from_index[i, 3] + index_from_index[i, i] * np.arange(n) for i, n in enumerate(shape)]


def sample_ct(ct: Volume, shape: Sequence[int], world_from_index: NDArray) -> Grid:
    """Return the CT in HU, trilinear, on a fine grid; beyond the CT its outermost voxels go on."""
    axes = axis_coordinates(ct, shape, world_from_index)
    low = [max(0, int(np.floor(a[0]))) for a in axes]
    window = tuple(slice(lo, max(lo, int(np.ceil(a[-1]))) + 1) for lo, a in zip(low, axes, strict=True))
    part = ct.values[window].astype(np.float32)
    coordinates = np.meshgrid(*(a - lo for a, lo in zip(axes, low, strict=True)), indexing="ij")
    return np.asarray(map_coordinates(part, coordinates, order=1, mode="nearest"), dtype=np.float32)


def composite(
    before: Grid, rendered: RenderedShape, kind: Kind, hu: tuple[float, float | None, float | None], hu_lung: float
) -> Grid:
    """Mix the nodule into the CT; exact partial-volume mixes in linear attenuation, since HU is linear in it.

    Dense parts: ``HU + w max(0, T - HU)``. Ground glass: ``HU + w (T - HU_lung)``, not beyond ``T + 60`` HU, and never
    below what was there. ``hu`` holds the targets of body, inclusion and halo. Order: halo, body, inclusion.
    """
    body, inclusion, halo = hu
    result = before.copy()
    if rendered.halo is not None and halo is not None:
        result = _add_glass(result, rendered.halo, halo, hu_lung)
    if kind in ("ground_glass", "part_solid"):
        result = _add_glass(result, rendered.occupancy, body, hu_lung)
    else:
        result = _add_dense(result, rendered.occupancy, body)
    if rendered.inclusion is not None and inclusion is not None:
        result = _add_dense(result, rendered.inclusion, inclusion)
    return result.astype(np.float32)


def _add_dense(hu: Grid, share: Grid, target: float) -> Grid:
    return hu + share * np.maximum(0, np.float32(target) - hu)


def _add_glass(hu: Grid, share: Grid, target: float, hu_lung: float) -> Grid:
    brightened = hu + share * np.float32(max(0.0, target - hu_lung))
    return np.maximum(hu, np.minimum(brightened, np.float32(target + GLASS_CEILING_HU)))


def _overlaps(num_ct: int, coordinates: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Share ``[ct voxel, fine voxel]`` of each CT voxel's edge that a fine voxel of ``step`` CT voxels covers."""
    ct = np.arange(num_ct)[:, None]
    low = np.maximum(ct - 0.5, coordinates - step / 2)
    high = np.minimum(ct + 0.5, coordinates + step / 2)
    return np.maximum(0, high - low)


def insert_nodules(ct: Volume, patches: Sequence[NodulePatch]) -> Volume:
    """Return the CT with the nodules, int16 HU: each voxel gets the exact mean of the added HU over its box.

    The sum of added HU times volume is that of the patch (before rounding to whole HU). Patches that overlap add up.
    """
    values = ct.values.astype(np.float32)
    for patch in patches:
        axes = axis_coordinates(ct, patch.occupancy.shape, patch.world_from_index)
        steps = np.array(patch.grid.spacing_mm) / ct.spacing_mm
        weights = [_overlaps(n, a, step) for n, a, step in zip(ct.shape, axes, steps, strict=True)]
        used = [np.flatnonzero(w.any(axis=1)) for w in weights]
        if any(len(u) == 0 for u in used):
            continue
        window = tuple(slice(u[0], u[-1] + 1) for u in used)
        z, y, x = (w[s] for w, s in zip(weights, window, strict=True))
        added = np.einsum("zi,ijk,yj,xk->zyx", z, patch.delta_hu, y, x, optimize=True)
        values[window] += added.astype(np.float32)
    return ct.with_values(np.clip(np.rint(values), -32768, 32767).astype(np.int16))
