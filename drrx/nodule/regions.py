"""How likely nodules are in the parts of the lungs: lobes, or the twelve regions of a study of missed cancers."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.labels import IS_LEFT, IS_LOBE, IS_RIGHT, Boolean
from drrx.records.anatomy import Label

LobeWeights = Literal["malignant", "uniform", "missed_ct"]
Regions = tuple[NDArray[np.int8], dict[int, float]]

# Upper lobes and the right lung carry more of the cancers that radiographs miss (Shah 2003, Austin 1992); ours.
MALIGNANT_SHARES = {
    Label.LOBE_RIGHT_UPPER: 0.36, Label.LOBE_RIGHT_MIDDLE: 0.06, Label.LOBE_RIGHT_LOWER: 0.18,
    Label.LOBE_LEFT_UPPER: 0.24, Label.LOBE_LEFT_LOWER: 0.16,
}  # fmt: skip
# Miki et al. 2020, nodules on CT that the radiograph had missed: apical, ventral, hilar, lateral, dorsal, basal.
MISSED_SHARES = {
    "right": (0.136, 0.142, 0.046, 0.093, 0.110, 0.070),
    "left": (0.077, 0.049, 0.044, 0.102, 0.048, 0.083),
}
APICAL, VENTRAL, HILAR, LATERAL, DORSAL, BASAL = range(6)


def make_regions(weights: LobeWeights, labels: NDArray[np.uint8]) -> Regions:
    """Return the region of each voxel (0 is none) and the share of the nodules that each is to get.

    Parameters
    ----------
    weights
        ``malignant``: the five lobes by ``MALIGNANT_SHARES``. ``missed_ct``: twelve regions, see ``split_lung``.
        ``uniform``: the lungs as one region.
    labels
        uint8 ``[slice, row, column]`` in canonical order (to the head, to the back, to the left).

    Returns
    -------
    int8 map of the shape of ``labels``, and region -> share. Shares of regions that do not occur are to be left out.
    """
    return _MAKERS[weights](labels)


def split_lung(lung: Boolean, medial_is_last: bool) -> NDArray[np.int8]:
    """Split one lung into apical, ventral, hilar, lateral, dorsal and basal (0..5); -1 outside it.

    The top and the bottom quarter of its height are apical and basal. Of what lies between, the front third of each
    slice is ventral and the back third dorsal; the rest is hilar in the medial half of its width, else lateral. The
    study names the regions; these limits are ours.
    """
    regions = np.full(lung.shape, -1, np.int8)
    slices = np.flatnonzero(lung.any(axis=(1, 2)))
    if not len(slices):
        return regions
    height = (np.arange(lung.shape[0]) - slices[0]) / max(1, slices[-1] - slices[0])
    depth = _relative(np.asarray(lung.any(axis=2)))[:, :, None]
    across = _relative(np.asarray(lung.any(axis=1)))[:, None, :]
    medial = across > 0.5 if medial_is_last else across < 0.5
    middle = np.where(depth < 1 / 3, VENTRAL, np.where(depth > 2 / 3, DORSAL, np.where(medial, HILAR, LATERAL)))
    whole = np.where(height > 0.75, APICAL, np.where(height < 0.25, BASAL, -1))[:, None, None]
    return np.where(lung, np.where(whole >= 0, whole, middle), -1).astype(np.int8)


def _relative(used: Boolean) -> NDArray[np.float64]:
    """Return, for ``used[slice, i]``, where each ``i`` lies between the first (0) and the last (1) one of its slice."""
    first, last = used.argmax(axis=1), used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    return (np.arange(used.shape[1]) - first[:, None]) / np.maximum(1, last - first)[:, None]


def _make_malignant(labels: NDArray[np.uint8]) -> Regions:
    return np.where(IS_LOBE[labels], labels, 0).astype(np.int8), {int(k): v for k, v in MALIGNANT_SHARES.items()}


def _make_uniform(labels: NDArray[np.uint8]) -> Regions:
    return IS_LOBE[labels].astype(np.int8), {1: 1.0}


def _make_missed(labels: NDArray[np.uint8]) -> Regions:
    right, left = split_lung(IS_RIGHT[labels], True), split_lung(IS_LEFT[labels], False)
    regions = np.maximum(right + 1, np.where(left >= 0, left + 7, 0)) * IS_LOBE[labels]
    shares = (*MISSED_SHARES["right"], *MISSED_SHARES["left"])
    return regions.astype(np.int8), dict(enumerate(shares, start=1))


_MAKERS: dict[LobeWeights, Callable[[NDArray[np.uint8]], Regions]] = {
    "malignant": _make_malignant, "uniform": _make_uniform, "missed_ct": _make_missed,
}  # fmt: skip
