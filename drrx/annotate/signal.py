"""How strongly a nodule shows against the anatomy around it.

``d_prime`` here is a proxy for detectability: a matched filter (the twin difference itself, zero mean over a disc
around the nodule), whose answer to the nodule is divided by the spread of its answers at places around in the twin.
It knows what and where to look for and ignores search and the eye; classes follow d' of AUC 0.70, 0.80 and 0.96.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from drrx.annotate.settings import AnnotateCxrSettings
from drrx.records.annotation import Signal

Image = NDArray[np.float32]
NODULE_PX = 24  # diameter of the nodule in pixels of the matched filter; finer detail is noise


@dataclass(frozen=True, eq=False)
class Pair:
    """A displayed image with and without the nodules, float32 ``[row, column]`` in 0..1."""

    twin: Image
    positive: Image


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A square of the image around a nodule.

    Attributes
    ----------
    rows, columns
        The square, cut by the image's border.
    distance_px
        ``[row, column]``: from the nodule's centroid.
    diameter_px
        Of the nodule's shadow.
    allowed
        Where the background may be judged: on lung.
    """

    rows: slice
    columns: slice
    distance_px: NDArray[np.float64]
    diameter_px: float
    allowed: NDArray[np.bool_]


def find_neighbourhood(
    center_px: tuple[float, float], diameter_px: float, lung_mm: NDArray[np.floating] | None, shape: tuple[int, int]
) -> Neighbourhood:
    """Return the square of 3 diameters to each side of ``(x, y)``; without a lung map all of it is allowed."""
    reach = 3 * diameter_px
    x, y = center_px
    rows = slice(max(0, int(y - reach)), min(shape[0], int(np.ceil(y + reach))))
    columns = slice(max(0, int(x - reach)), min(shape[1], int(np.ceil(x + reach))))
    distance = np.hypot(
        np.arange(rows.start, rows.stop)[:, None] + 0.5 - y, np.arange(columns.start, columns.stop)[None, :] + 0.5 - x
    )
    allowed = np.ones(distance.shape, dtype=bool) if lung_mm is None else lung_mm[rows, columns] > 0
    return Neighbourhood(rows, columns, distance, diameter_px, allowed)


def measure_signal(
    pair: Pair, visual: NDArray[np.bool_], full: NDArray[np.bool_], around: Neighbourhood, settings: AnnotateCxrSettings
) -> Signal:
    """Return contrast, background and detectability of one nodule in one image.

    ``visual`` and ``full`` are the nodule's masks on the neighbourhood's square; the difference outside ``full`` is
    left out, because it may belong to another nodule.
    """
    twin = pair.twin[around.rows, around.columns].astype(np.float64)
    difference = pair.positive[around.rows, around.columns].astype(np.float64) - twin
    inside = difference[visual]
    ring = around.distance_px >= settings.ring_inner * around.diameter_px / 2
    ring &= (around.distance_px <= settings.ring_outer * around.diameter_px) & around.allowed
    sd = float(twin[ring].std()) if ring.sum() >= 10 else float(twin.std())
    mean = float(inside.mean()) if inside.size else 0.0
    d_prime = matched_filter_d_prime(difference * full, twin, around)
    limits = (settings.d_prime_subtle, settings.d_prime_visible, settings.d_prime_obvious)
    peak = float(inside[np.abs(inside).argmax()]) if inside.size else 0.0
    return Signal(
        contrast_mean=mean, contrast_peak=peak, background_sd=sd, cnr=mean / max(sd, 1e-6), d_prime=d_prime,
        visibility_class=sum(d_prime >= limit for limit in limits),
    )  # fmt: skip


def matched_filter_d_prime(difference: NDArray[np.float64], twin: NDArray[np.float64], around: Neighbourhood) -> float:
    """Return ``sum(w s) / sd(sum(w b))`` for the signal ``s``, its zero-mean template ``w`` and backgrounds ``b``.

    Backgrounds are all shifts of the twin by up to two diameters that stay on lung.
    """
    block = max(1, round(around.diameter_px / NODULE_PX))
    s, b = _block_mean(difference, block), _block_mean(twin, block)
    distance = _block_mean(around.distance_px, block)
    allowed = _block_mean(around.allowed.astype(np.float64), block) > 0.5
    disc = distance <= 0.85 * around.diameter_px
    if not disc.any():
        return 0.0
    template = np.where(disc, s - s[disc].mean(), 0.0)
    answers = fftconvolve(b - b.mean(), template[::-1, ::-1], mode="full")
    # Answer [i, j] belongs to the template moved by (i - rows + 1, j - columns + 1): put it where its middle lies.
    center = np.unravel_index(distance.argmin(), distance.shape)
    top, left = s.shape[0] - 1 - center[0], s.shape[1] - 1 - center[1]
    answers = answers[top : top + s.shape[0], left : left + s.shape[1]]
    places = allowed & (distance <= 2 * around.diameter_px)
    if places.sum() < 20:
        places = distance <= 2 * around.diameter_px
    spread = float(answers[places].std())
    return float((template * s).sum()) / max(spread, 1e-9)


def _block_mean(image: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    rows, columns = (n // block * block for n in image.shape)
    cut = image[:rows, :columns].reshape(rows // block, block, columns // block, block)
    return np.asarray(cut.mean(axis=(1, 3)), dtype=np.float64)
