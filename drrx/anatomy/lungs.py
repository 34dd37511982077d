"""Right and left lung."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.morphology import Mask, close, crop_box, dilate, label_sizes, open_
from drrx.errors import CaseRefused

# Gas in bowel and stomach is emptier than lung; judged away from the rim, where partial volume hides it.
GAS_HU = -965.0
CORE_MM = 4.0
MIN_PART_ML = 2.0
POCKET_HU = -940.0
SMOOTH_MM = 1.5
POCKET_ML = (3.0, 400.0)
# A pocket is gas in the belly when this share of the shell around it is tissue.
SHELL_MM = (4.0, 8.0)
SHELL_HU = -300.0
SHELL_SHARE = 0.6
NEAR_MM = 12.0
JOINED_SHARE = 0.2
SPLIT_STEPS_MM = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0)


@dataclass(frozen=True, eq=False)
class Lungs:
    """Right and left lung on the coarse grid (the patient's right is at low columns)."""

    right: Mask
    left: Mask

    @property
    def both(self) -> Mask:
        """Union of the two."""
        return self.right | self.left


def find_gas(coarse: Coarse, air: Mask) -> Mask:
    """Return pockets of gas in stomach and bowel: empty, wide, low, and mostly walled by soft tissue.

    A bulla in the lung is as empty, but lung lies around it; an emphysematous lung is larger.
    """
    sigma = [SMOOTH_MM / mm for mm in coarse.spacing_mm]  # single noisy voxels must not break a pocket
    empty = ndimage.gaussian_filter(coarse.hu, sigma, mode="nearest", truncate=2.0) < POCKET_HU
    pockets, sizes = label_sizes(open_(air & empty, CORE_MM, coarse.spacing_mm))
    gas = np.zeros_like(air)
    low_half = np.quantile(np.nonzero(air)[0], 0.5) if air.any() else 0.0
    for number, box in enumerate(ndimage.find_objects(pockets), start=1):
        is_low = (box[0].start + box[0].stop) / 2 < low_half
        if not (is_low and POCKET_ML[0] <= sizes[number] * coarse.voxel_ml <= POCKET_ML[1]):
            continue
        more = [int(np.ceil(SHELL_MM[1] / mm)) + 1 for mm in coarse.spacing_mm]
        wide = tuple(
            slice(max(0, part.start - extra), part.stop + extra) for part, extra in zip(box, more, strict=True)
        )
        distance = ndimage.distance_transform_edt(pockets[wide] != number, sampling=coarse.spacing_mm)
        shell = (distance > SHELL_MM[0]) & (distance <= SHELL_MM[1])
        if (coarse.hu[wide][shell] > SHELL_HU).mean() > SHELL_SHARE:
            gas[wide] |= air[wide] & (distance <= SHELL_MM[0])
    return gas


def find_lungs(
    coarse: Coarse, air: Mask, gas: Mask, midline: NDArray[np.float64], min_ml: float, min_total_ml: float
) -> Lungs:
    """Return the two aerated lungs from the air inside the body (airways cut out), without gas in the belly.

    Raises
    ------
    CaseRefused
        ``NO_LUNGS``: a side is missing, or both together are too small.
    """
    labels, sizes = label_sizes(air & ~gas)
    parts = _measure_parts(coarse, labels, sizes)
    lung_like = [number for number, core_hu in parts.items() if core_hu > GAS_HU]
    large = [number for number in lung_like if sizes[number] * coarse.voxel_ml >= min_ml / 2]
    right, left = np.zeros_like(air), np.zeros_like(air)
    for number in large:
        for part in _split(labels == number, coarse, midline):
            (right if _is_right(part, midline) else left)[part] = True
    rest = np.isin(labels, [number for number in lung_like if number not in large])
    right, left = _join_near(right, left, rest, coarse)
    volumes = right.sum() * coarse.voxel_ml, left.sum() * coarse.voxel_ml
    if min(volumes) < min_ml or sum(volumes) < min_total_ml:
        raise CaseRefused(
            "NO_LUNGS", where="segment_anatomy",
            found=f"{volumes[0] / 1000:.2f} L of right and {volumes[1] / 1000:.2f} L of left aerated lung",
            needed=f"at least {min_ml / 1000:g} L on each side and {min_total_ml / 1000:g} L together",
            hint="Is this a chest CT with whole lungs? If so, give your own lung mask (column `mask`, option --mask).",
        )  # fmt: skip
    return Lungs(right, left)


def _measure_parts(coarse: Coarse, labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> dict[int, float]:
    """Return median HU of the core (or of all, if there is none) of each part that is not tiny."""
    found = {}
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None or sizes[number] * coarse.voxel_ml < MIN_PART_ML:
            continue
        part = np.pad(labels[box] == number, 1)
        core = ndimage.distance_transform_edt(part, sampling=coarse.spacing_mm)[1:-1, 1:-1, 1:-1] > CORE_MM
        inside = core if core.any() else part[1:-1, 1:-1, 1:-1]
        found[number] = float(np.median(coarse.hu[box][inside]))
    return found


def _right_share(part: Mask, midline: NDArray[np.float64]) -> float:
    is_right = np.arange(part.shape[2])[None, :] < midline[:, None]
    return float((part & is_right[:, None, :]).sum() / max(part.sum(), 1))


def _is_right(part: Mask, midline: NDArray[np.float64]) -> bool:
    return _right_share(part, midline) > 0.5


def _split(part: Mask, coarse: Coarse, midline: NDArray[np.float64]) -> list[Mask]:
    """Split lungs that touch (anterior or posterior junction); one lung comes back as it is."""
    share = _right_share(part, midline)
    if not JOINED_SHARE < share < 1 - JOINED_SHARE:
        return [part]
    box = crop_box(part, 0.0, coarse.spacing_mm)
    inner = part[box]
    depth = ndimage.distance_transform_edt(np.pad(inner, 1), sampling=coarse.spacing_mm)[1:-1, 1:-1, 1:-1]
    for radius_mm in SPLIT_STEPS_MM:
        labels, sizes = label_sizes(depth > radius_mm)
        order = np.argsort(sizes)[::-1][:2]
        if len(sizes) > 2 and sizes[order[1]] > 0.3 * sizes[order[0]]:
            markers = np.where(labels == order[0], 1, np.where(labels == order[1], 2, 0))
            grown = watershed(-depth, markers, mask=inner)
            halves = []
            for number in (1, 2):
                half = np.zeros_like(part)
                half[box] = grown == number
                halves.append(half)
            return halves
    is_right = np.broadcast_to((np.arange(part.shape[2])[None, :] < midline[:, None])[:, None, :], part.shape)
    return [part & is_right, part & ~is_right]


def _join_near(right: Mask, left: Mask, rest: Mask, coarse: Coarse) -> tuple[Mask, Mask]:
    """Give small lung-like parts to the lung they lie near."""
    if not rest.any() or not right.any() or not left.any():
        return right, left
    labels, _ = label_sizes(rest)
    for lung in (right, left):
        near = np.unique(labels[dilate(lung, NEAR_MM, coarse.spacing_mm) & rest])
        chosen = np.isin(labels, near[near > 0])
        lung |= chosen
        labels[chosen] = 0
    return right, left


def close_lungs(lungs: Lungs, allowed: Mask, coarse: Coarse, closing_mm: float, costal_mm: float) -> Lungs:
    """Close each lung over vessels, hilum and nodules at the pleura; ``allowed`` is where it may grow.

    A ball of ``closing_mm`` goes all around. At the chest wall, which is smooth, a wider disc of ``costal_mm`` in each
    axial slice brings back broad-based nodules; not under the base of the lung.
    """
    closed = []
    for own, other in ((lungs.right, lungs.left), (lungs.left, lungs.right)):
        smooth = ndimage.binary_fill_holes(close(own, closing_mm, coarse.spacing_mm))
        costal = _close_costal(own, costal_mm, coarse) if costal_mm > closing_mm else smooth
        closed.append(own | ((smooth | costal) & allowed & ~other))
    both = closed[0] & closed[1] & ~lungs.both
    return Lungs(closed[0] & ~both, closed[1] & ~both)


def _close_costal(lung: Mask, radius_mm: float, coarse: Coarse) -> Mask:
    """Return the lung closed slice by slice on its lateral half, but not below its lowest voxel in a column."""
    flat = (1e6, *coarse.spacing_mm[1:])  # slices infinitely far apart: distances stay within a slice
    closed = close(lung, radius_mm, flat)
    columns = np.arange(lung.shape[2])
    middle = lung.shape[2] / 2
    center = (lung.sum(axis=(0, 1)) * columns).sum() / max(lung.sum(), 1)
    lateral = columns < center if center < middle else columns > center
    over_base = np.logical_or.accumulate(lung, axis=0)
    kept: Mask = closed & lateral[None, None, :] & over_base
    return kept


def split_mask(mask: Mask, coarse: Coarse, midline: NDArray[np.float64]) -> Lungs:
    """Return the two lungs of a user's own mask (coarse grid).

    Raises
    ------
    CaseRefused
        ``NO_LUNGS``: the mask lies on one side only.
    """
    right, left = np.zeros_like(mask), np.zeros_like(mask)
    labels, sizes = label_sizes(mask)
    for number in np.flatnonzero(sizes * coarse.voxel_ml >= MIN_PART_ML):
        for part in _split(labels == number, coarse, midline):
            (right if _is_right(part, midline) else left)[part] = True
    if not right.any() or not left.any():
        raise CaseRefused(
            "NO_LUNGS", where="the user's own mask", found="a mask on one side of the body only",
            needed="right and left lung", hint="Give a mask of both lungs, in the orientation of the CT.",
        )  # fmt: skip
    return Lungs(right, left)
