"""Trachea and large bronchi."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.morphology import Mask, crop_box, dilate, erode_roughly, keep_largest, label_sizes, reconstruct

LUMEN_HU = -850.0
AREA_MM2 = (50.0, 900.0)
MIDLINE_MM = 45.0
SKIN_MM = 12.0
MIN_TRACHEA_MM = 24.0
# Growing stops before the threshold at which the tree runs into the lung.
THRESHOLDS_HU = tuple(range(-970, -840, 10))
MAX_AIRWAYS_ML = 130.0
MAX_STEP_FACTOR = 1.6
MAX_STEP_ML = 12.0
WALL_MM = 2.0
REACH_MM = 80.0


def find_airways(coarse: Coarse, body: Mask, midline: NDArray[np.float64]) -> Mask:
    """Return the lumen of trachea and large bronchi (coarse grid); empty when no trachea is seen.

    The trachea is the longest stack of round, dark, central spots; from it the tree grows with a rising threshold
    until it would leak into the lung (Mori 1996; Kiraly 2002: explosion control).
    """
    trachea = _find_trachea(coarse, body, midline)
    if not trachea.any():
        return trachea
    # The tree stays near the trachea: a smaller box makes growing several times faster.
    box = crop_box(trachea, REACH_MM, coarse.spacing_mm)
    box = (slice(0, box[0].stop), *box[1:])
    hu, seed = np.where(body[box], coarse.hu[box], np.float32(0.0)), trachea[box]
    tree = seed
    for threshold in THRESHOLDS_HU:
        grown = reconstruct(seed, (hu < threshold) | seed)
        before, after = tree.sum() * coarse.voxel_ml, grown.sum() * coarse.voxel_ml
        if after > MAX_AIRWAYS_ML or after > max(MAX_STEP_FACTOR * before, before + MAX_STEP_ML):
            break
        tree = grown
    airways = np.zeros_like(trachea)
    airways[box] = tree
    return airways


def _find_trachea(coarse: Coarse, body: Mask, midline: NDArray[np.float64]) -> Mask:
    inner = body & erode_roughly(body, SKIN_MM, coarse.spacing_mm)
    dark = (coarse.hu < LUMEN_HU) & inner
    spots = np.zeros_like(dark)
    low = int(0.3 * dark.shape[0])
    for index in range(low, dark.shape[0]):
        spots[index] = _find_spots(dark[index], float(midline[index]), coarse.spacing_mm[1:])
    labels, sizes = label_sizes(spots)
    best, longest = 0, MIN_TRACHEA_MM
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        length = (box[0].stop - box[0].start) * coarse.spacing_mm[0]
        if sizes[number] and length > longest:
            best, longest = number, length
    found: Mask = (labels == best) if best else np.zeros_like(dark)
    return found


def _find_spots(dark: Mask, middle: float, spacing_mm: tuple[float, ...]) -> Mask:
    """Return round, dark spots of one slice that lie near the midline."""
    labels, count = ndimage.label(dark)
    kept = np.zeros(count + 1, dtype=bool)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (rows.stop - rows.start) * spacing_mm[0], (columns.stop - columns.start) * spacing_mm[1]
        part = labels[rows, columns] == number
        area = float(part.sum()) * spacing_mm[0] * spacing_mm[1]
        off = abs((columns.start + columns.stop - 1) / 2 - middle) * spacing_mm[1]
        round_enough = area > 0.5 * height * width and max(height, width) < 2.6 * min(height, width)
        kept[number] = AREA_MM2[0] <= area <= AREA_MM2[1] and round_enough and off < MIDLINE_MM
    found: Mask = kept[labels]
    return found


def cut_airways(air: Mask, airways: Mask, coarse: Coarse) -> Mask:
    """Return air without the airways and their walls; what is cut off with them stays out."""
    if not airways.any():
        return air
    return air & ~dilate(keep_largest(airways), WALL_MM + min(coarse.spacing_mm) / 2, coarse.spacing_mm)
