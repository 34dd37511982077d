"""Channelized Hotelling observer for one nodule at a known place, before and after restoration.

Five Laguerre-Gauss channels (Gallas and Barrett, J Opt Soc Am A 20:1725, 2003), the set-up that followed readers in Eck
et al., 2014. The background is the anatomy around the nodule in the twin.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import norm

NUM_CHANNELS = 5
NODULE_PX = 12
REACH = 2.0
GREY_STEP = 1 / 255
MIN_PLACES = 100


def make_channels(width_px: float) -> NDArray[np.float64]:
    """Return Laguerre-Gauss channels ``[channel, row, column]`` of unit energy; ``width_px`` is their Gaussian's ``a``.

    ``exp(-pi r^2 / a^2) L_j(2 pi r^2 / a^2)``, j = 0..4; the square reaches 1.7 widths to each side.
    """
    reach = int(np.ceil(1.7 * width_px))
    line = np.arange(-reach, reach + 1)
    square = 2 * np.pi * (line[:, None] ** 2 + line[None, :] ** 2) / width_px**2
    laguerre = [np.polynomial.laguerre.lagval(square, np.eye(NUM_CHANNELS)[j]) for j in range(NUM_CHANNELS)]
    channels = np.stack(laguerre) * np.exp(-square / 2)
    return np.asarray(channels / np.sqrt((channels**2).sum(axis=(1, 2), keepdims=True)))


def measure_d_prime(
    change: NDArray[np.floating], twin: NDArray[np.floating], allowed: NDArray[np.bool_], center: tuple[float, float],
    diameter_px: float,
) -> float:  # fmt: skip
    """Return d' of the observer for the nodule that ``change`` adds to ``twin``: ``d'^2 = s' K^-1 s``.

    Images ``[row, column]`` in display values. The grid is thinned until the nodule is about 12 px wide; the channels'
    width is its diameter. ``s``: the channels' answers to the change at ``center`` (row, column). ``K``: covariance of
    their answers to the twin at all places within 2 diameters where ``allowed`` (on lung; with fewer than 100 places
    anywhere), plus white internal noise of one grey step, 1/255 per pixel of the display.
    """
    block, reach = max(1, round(diameter_px / NODULE_PX)), int(np.ceil((REACH + 1.5) * diameter_px))
    window = tuple(slice(max(0, int(c) - reach), int(c) + reach + 1) for c in center)
    signal, background, lung = (
        _block_mean(np.asarray(values[window], np.float64), block) for values in (change, twin, allowed)
    )
    axes = [np.arange(n) * block + (block - 1) / 2 + w.start - c
            for n, w, c in zip(signal.shape, window, center, strict=True)]  # fmt: skip
    distance = np.hypot(axes[0][:, None], axes[1][None, :])
    channels = make_channels(diameter_px / block)
    places = _places(distance <= REACH * diameter_px, lung > 0.5, channels.shape[-1] // 2)
    answers = np.stack([fftconvolve(background - background.mean(), c, mode="same")[places] for c in channels])
    middle = np.unravel_index(distance.argmin(), distance.shape)
    found = np.array([fftconvolve(signal, channel, mode="same")[middle] for channel in channels])
    flat = channels.reshape(NUM_CHANNELS, -1)
    covariance = np.cov(answers) + (GREY_STEP / block) ** 2 * (flat @ flat.T)
    return float(np.sqrt(max(float(found @ np.linalg.solve(covariance, found)), 0.0)))


def to_auc(d_prime: float) -> float:
    """Return the area under the ROC curve of normal answers: ``Phi(d' / sqrt 2)``."""
    return float(norm.cdf(d_prime / np.sqrt(2)))


def _places(near: NDArray[np.bool_], lung: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Return where the background is judged: near, on lung, where the channels fit into the square."""
    inner = np.zeros_like(near)
    inner[margin : near.shape[0] - margin, margin : near.shape[1] - margin] = True
    near = near & inner if (near & inner).sum() >= MIN_PLACES else near
    return near & lung if (near & lung).sum() >= MIN_PLACES else near


def _block_mean(values: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    rows, columns = (extent // block for extent in values.shape)
    cut = values[: rows * block, : columns * block].reshape(rows, block, columns, block)
    return np.asarray(cut.mean(axis=(1, 3)))
