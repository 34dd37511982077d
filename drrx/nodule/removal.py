"""Take a real nodule out of a CT: lung in its place, as the lung around it is.

The background is a normalised convolution (Knutsson and Westin, CVPR 1993) of the lung around, vessels left out. On it
comes the texture of a donor, a piece of lung of the same shape nearby, vessels and noise included: without it the place
would be a smooth hole, darker than lung with its vessels is on average. Nothing is drawn at random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.signal import fftconvolve

from drrx.errors import CaseRefused
from drrx.nodule.labels import IS_LOBE, IS_LUNG
from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume

REACH_MM = 45.0  # how far from the nodule background and donor are looked for
RIM = 1.0, 3.0  # replaced wholly up to the first, fading to the second; in mm, or voxels where these are wider
SHELL = 3.0, 15.0  # lung whose texture the donor's must match, the same unit
BACKGROUND_SIGMA_MM = 6.0
AIRY_BELOW_HU = -500
MIN_LUNG_VOXELS = 200
# What counts as much as 1 in the choice of a donor: difference of mean and spread, distance, height in the chest.
DONOR_MEAN_HU, DONOR_SD_HU, DONOR_AWAY_MM, DONOR_HEIGHT_MM = 15.0, 30.0, 40.0, 20.0

Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Removal:
    """What has to be added to the CT to take one nodule out.

    Attributes
    ----------
    mask
        Voxels of the nodule, bool ``[slice, row, column]``, in a window of the CT.
    added_hu
        The same window, float32: HU without the nodule less HU with it; zero beyond its rim.
    hu_lung
        Median of the lung around, HU.
    donor_shift_mm
        Where the texture came from, (x, y, z) from the nodule, LPS mm; ``None``: no piece of lung was large enough.
    """

    mask: Volume
    added_hu: Volume
    hu_lung: float
    donor_shift_mm: tuple[float, float, float] | None


def remove_nodule(ct: Volume, known: NDArray[np.uint8], number: int, anatomy: Anatomy) -> Removal:
    """Find what takes nodule ``number`` of the label map ``known`` out of the CT; see the module's text.

    Parameters
    ----------
    ct, anatomy
        Canonical CT, int16 HU, and its labels, on one grid.
    known
        uint8 ``[slice, row, column]`` on that grid: 0, and 1..n.

    Raises
    ------
    CaseRefused
        ``ANNOTATIONS_MISMATCH``: the nodule lies outside the body, or no lung is near it.
    """
    window = _find_window(known == number, ct.spacing_mm)
    near = known[window]
    labels, mine = anatomy.labels.values[window], near == number
    if (labels[mine] == Label.OUTSIDE).mean() > 0.5:
        raise _refuse(number, "outside the body")
    hu, distance = ct.values[window].astype(np.float32), _distance(mine, ct.spacing_mm)
    others = (near > 0) & ~mine
    apart = _distance(others, ct.spacing_mm) if others.any() else np.full(mine.shape, np.inf)
    nodules = np.minimum(distance, apart) < RIM[1]
    airy = IS_LOBE[labels] & (hu < AIRY_BELOW_HU) & ~nodules
    shell = airy & (distance <= SHELL[1])
    if shell.sum() < MIN_LUNG_VOXELS:
        raise _refuse(number, "without lung around it")
    background = spread(hu, airy, tuple(BACKGROUND_SIGMA_MM / mm for mm in ct.spacing_mm))
    share = np.clip((RIM[1] - distance) / (RIM[1] - RIM[0]), 0, 1) * (mine | (IS_LUNG[labels] & (distance < apart)))
    texture = hu - background
    free = IS_LUNG[labels] & ~nodules
    shift = find_donor(share > 0, texture, free, free & (distance <= SHELL[1]), ct.spacing_mm)
    donor = float(texture[free & (distance <= SHELL[1])].mean()) if shift is None else _move(texture, shift)
    added = (share * (background + donor - hu)).astype(np.float32)
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(np.array([part.start for part in window]))
    return Removal(
        Volume(mine, affine), Volume(added, affine), float(np.median(hu[shell])),
        None if shift is None else _to_mm(shift, ct.spacing_mm),
    )  # fmt: skip


def _find_window(mask: Mask, spacing_mm: tuple[float, ...]) -> Window:
    """Return the box of a mask, ``REACH_MM`` wider on each side and cut by the CT."""
    parts = []
    for axis, spacing in enumerate(spacing_mm):
        used = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        reach = round(REACH_MM / spacing)
        parts.append(slice(max(0, int(used[0]) - reach), min(mask.shape[axis], int(used[-1]) + 1 + reach)))
    return parts[0], parts[1], parts[2]


def _distance(mask: Mask, spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the distance to a mask in mm, or in voxels along axes whose voxels are wider than 1 mm."""
    return np.asarray(distance_transform_edt(~mask, sampling=[min(mm, 1.0) for mm in spacing_mm]))


def spread(values: Grid, known: Mask, sigmas_px: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the Gaussian-weighted mean of the ``known`` values at every voxel (normalised convolution)."""
    weight = gaussian_filter(known.astype(np.float64), sigmas_px, mode="constant", truncate=8)
    total = gaussian_filter(np.where(known, values, 0).astype(np.float64), sigmas_px, mode="constant", truncate=8)
    fallback = float(values[known].mean())
    return np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), fallback)


def find_donor(
    region: Mask, texture: NDArray[np.float64], free: Mask, shell: Mask, spacing_mm: tuple[float, ...]
) -> NDArray[np.int64] | None:
    """Return the shift (voxels) that puts ``region`` wholly into ``free`` lung like that of the ``shell``.

    Of all shifts, the one whose texture is nearest in mean and spread to the shell's, and that is near, above all in
    height (+y is down in a patient who lies on the back, and lung is denser there). ``None`` where none fits.
    """
    mean, sd = float(texture[shell].mean()), float(texture[shell].std())
    used = [np.flatnonzero(region.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    core = region[tuple(slice(u[0], u[-1] + 1) for u in used)][::-1, ::-1, ::-1].astype(np.float32)
    inside = np.where(free, texture, 0.0)
    blocked, sums, squares = (
        fftconvolve(values.astype(np.float32), core, mode="valid") for values in (~free, inside, inside**2)
    )
    means = sums / core.sum()
    spreads = np.sqrt(np.maximum(squares / core.sum() - means**2, 0))
    away = [np.arange(n) - u[0] for n, u in zip(blocked.shape, used, strict=True)]
    z, y, x = np.meshgrid(*(a * mm for a, mm in zip(away, spacing_mm, strict=True)), indexing="ij", sparse=True)
    cost = np.abs(means - mean) / DONOR_MEAN_HU + np.abs(spreads - sd) / DONOR_SD_HU
    cost += np.sqrt(z**2 + y**2 + x**2) / DONOR_AWAY_MM + np.abs(y) / DONOR_HEIGHT_MM
    cost[blocked > 0.5] = np.inf
    best = np.unravel_index(cost.argmin(), cost.shape)
    return np.array([a[i] for a, i in zip(away, best, strict=True)]) if np.isfinite(cost[best]) else None


def _move(values: NDArray[np.float64], shift: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return at each voxel the value that lies ``shift`` voxels further on."""
    return np.roll(values, tuple(-shift), axis=(0, 1, 2))


def _to_mm(shift: NDArray[np.int64], spacing_mm: tuple[float, ...]) -> tuple[float, float, float]:
    z, y, x = (float(n * mm) for n, mm in zip(shift, spacing_mm, strict=True))
    return x, y, z


def _refuse(number: int, found: str) -> CaseRefused:
    return CaseRefused(
        "ANNOTATIONS_MISMATCH", where=f"annotated nodule {number}", found=f"a nodule {found}",
        needed="nodules in or at the lungs of this CT",
        hint="Look at anatomy.png of the case: are the lungs right, and do annotations and CT belong together?",
    )  # fmt: skip
