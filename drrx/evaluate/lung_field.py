"""Where the lungs lie on a frontal radiograph, by a simple rule that films and DRRs pass alike."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import clear_border

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
THIN = 8
LEVELS = (1.15, 1.0, 0.85, 0.7, 0.55)
MIN_SHARE, MAX_SHARE = 0.015, 0.25
ERODE_PX = 12


def find_lung_field(image: Image) -> Mask:
    """Return the lung field of a frontal radiograph ``[row, column]`` in 0..1, bone white, about 1024 px.

    Dark islands that do not touch the image's border, the largest in each half; of several levels around Otsu's (1979)
    the one whose island is largest. The rim of 12 px is left out. Without any island: two boxes where lungs lie on most
    films. Good for statistics of texture, not for annotation.
    """
    small = ndimage.zoom(ndimage.gaussian_filter(image, THIN / 2), 1 / THIN, order=1)
    rows, columns = small.shape
    inner = small[rows // 10 : rows * 17 // 20, columns // 10 : columns * 9 // 10]
    otsu = float(threshold_otsu(inner)) if inner.max() > inner.min() else 0.0
    found = [_islands(small < level * otsu) for level in LEVELS]
    left, right = (max((pair[side] for pair in found), key=lambda island: int(island.sum())) for side in (0, 1))
    mask = left | right if left.any() or right.any() else _boxes(small.shape)
    mask = ndimage.binary_erosion(ndimage.binary_fill_holes(mask), iterations=round(ERODE_PX / THIN))
    index = [np.arange(full) * few // full for full, few in zip(image.shape, mask.shape, strict=True)]
    return np.asarray(mask[np.ix_(*index)])


def _islands(dark: Mask) -> tuple[Mask, Mask]:
    """Return the largest dark island of lung size in the left and in the right half; empty where there is none."""
    opened = ndimage.binary_opening(dark, iterations=2)
    labels = np.asarray(clear_border(ndimage.label(opened)[0]))
    best = [np.zeros(dark.shape, bool), np.zeros(dark.shape, bool)]
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        island = labels == number
        wide = (box[1].stop - box[1].start) / dark.shape[1]
        side = int(ndimage.center_of_mass(island)[1] > dark.shape[1] / 2)
        if MIN_SHARE <= island.mean() <= MAX_SHARE and wide < 0.55 and island.sum() > best[side].sum():
            best[side] = island
    return best[0], best[1]


def _boxes(shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    rows = slice(round(0.25 * shape[0]), round(0.6 * shape[0]))
    for middle in (0.27, 0.73):
        mask[rows, round((middle - 0.1) * shape[1]) : round((middle + 0.1) * shape[1])] = True
    return mask
