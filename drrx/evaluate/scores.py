"""Scores of one image against its film, and their intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from drrx.seeds import make_rng


@dataclass(frozen=True)
class Score:
    """PSNR in dB, SSIM, and the power of detail (about 3-15 px) against the film's, in dB (0 = as the film)."""

    psnr_db: float
    ssim: float
    detail_db: float


def score_image(image: NDArray[np.float32], film: NDArray[np.float32], border_px: int) -> Score:
    """Score an image ``[row, column]`` in 0..1 against its film; data range 1, border left out.

    SSIM: Gaussian window of sigma 1.5, population covariance (Wang et al. 2004, equation 13, as scikit-image).
    """
    inner = tuple(slice(border_px, extent - border_px) for extent in film.shape)
    error = float(np.mean((image[inner].astype(np.float64) - film[inner]) ** 2))
    _, map_ = structural_similarity(
        image, film, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    power = [float(np.var(_detail(values)[inner])) for values in (image, film)]
    return Score(
        -10 * np.log10(max(error, 1e-12)), float(np.mean(map_[inner])),
        10 * float(np.log10(max(power[0], 1e-12) / max(power[1], 1e-12))),
    )  # fmt: skip


def _detail(values: NDArray[np.float32]) -> NDArray[np.float32]:
    fine, coarse = (ndimage.gaussian_filter(values, sigma) for sigma in (1.0, 4.0))
    return np.asarray(fine - coarse)


def bootstrap_mean(
    values: Sequence[float], patients: Sequence[str], resamples: int, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval over patients (percentile bootstrap of whole patients)."""
    names = sorted(set(patients))
    sums = np.array([sum(v for v, p in zip(values, patients, strict=True) if p == name) for name in names])
    counts = np.array([list(patients).count(name) for name in names])
    drawn = make_rng(seed).integers(len(names), size=(resamples, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(np.mean(values)), float(low), float(high)
