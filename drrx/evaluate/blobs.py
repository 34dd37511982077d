"""Does restoration invent nodules? Bright blobs of a nodule's size in nodule-free outputs, against real films."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.evaluate.interval import bootstrap_mean
from drrx.evaluate.lung_field import Image, Mask, find_lung_field
from drrx.pairs.films import PIXEL_MM

DIAMETERS_MM = (6.0, 9.0, 13.0, 20.0)
THIN = 2
ROUNDNESS = 0.5
FILM_RATE = 2.0


def find_blobs(image: Image, mask: Mask | None = None) -> NDArray[np.float64]:
    """Return the strengths of bright round blobs of 6 to 20 mm in the lung field, the strongest first.

    ``image``: float32 ``[row, column]`` on the 0.42 mm grid, windowed values. A blob is a maximum over place and size
    of the scale-normalized ``-sigma^2 LoG`` (Lindeberg, Int J Comput Vis 30:79, 1998), sigma = radius / sqrt 2, whose
    weaker curvature is at least half the stronger: so ribs and vessels are left out. The strength of a disc of
    contrast c and that radius is ``2 c / e``.
    """
    mask = find_lung_field(image) if mask is None else mask
    small = ndimage.gaussian_filter(image.astype(np.float64), THIN / 2)[::THIN, ::THIN]
    sigmas = [d / 2 / PIXEL_MM / THIN / np.sqrt(2) for d in DIAMETERS_MM]
    strength, round_ = (np.stack(maps) for maps in zip(*(_curve(small, sigma) for sigma in sigmas), strict=True))
    highest = ndimage.maximum_filter(strength, size=(3, 9, 9)) == strength
    found = strength[highest & round_ & mask[::THIN, ::THIN] & (strength > 0)]
    return np.asarray(np.sort(found)[::-1])


def _curve(image: NDArray[np.float64], sigma: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return blob strength at one size, and where the image is curved alike in all directions."""
    rows, both, columns = (ndimage.gaussian_filter(image, sigma, order=o) * sigma**2 for o in ((2, 0), (1, 1), (0, 2)))
    middle, spread = (rows + columns) / 2, np.hypot((rows - columns) / 2, both)
    strong, weak = middle - spread, middle + spread
    return -2 * middle, (weak < 0) & (weak <= ROUNDNESS * strong)


def compare_blobs(
    films: Sequence[NDArray[np.float64]], outputs: Sequence[NDArray[np.float64]], groups: Sequence[str],
    resamples: int = 2000,
) -> dict[str, Any]:  # fmt: skip
    """Compare ``find_blobs`` of nodule-free outputs with those of real films; keys are JSON-ready.

    A blob counts from the ``threshold`` on with which films have 2 an image in the mean. ``films_rate`` and ``rate``:
    blobs an image; ``rate`` with its 95 % interval (bootstrap over ``groups``, the outputs' CTs). Films have their real
    lesions, so more blobs in outputs than in films are invented, fewer tell nothing.
    """
    pooled = np.sort(np.concatenate(list(films)))[::-1]
    threshold = float(pooled[min(len(pooled), round(FILM_RATE * len(films))) - 1])
    rates = [[float((found >= threshold).sum()) for found in side] for side in (films, outputs)]
    interval = [round(value, 3) for value in bootstrap_mean(rates[1], groups, resamples)]
    return {
        "threshold": round(threshold, 4), "films_rate": round(float(np.mean(rates[0])), 3), "rate": interval,
        "films": len(films), "images": len(outputs),
    }  # fmt: skip
