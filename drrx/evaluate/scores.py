"""Scores of images against their film."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.evaluate.similarity import Similarity
from drrx.evaluate.smooth import make_window, smooth

Image = NDArray[np.float32]
MIN_ERROR = 1e-12
FINE, COARSE = make_window(1.0, 16), make_window(4.0, 16)


@dataclass(frozen=True)
class Score:
    """Scores of one image against its film, data range 1.

    ``mse`` and its ``psnr_db``; ``affine_psnr_db``, after the best ``a image + b`` (blind to a linear change of tone);
    ``ssim``; ``ms_ssim``; ``detail_db``, the power of detail of about 3-15 px against the film's (0 = as the film).
    """

    mse: float
    psnr_db: float
    affine_psnr_db: float
    ssim: float
    ms_ssim: float
    detail_db: float


MEASURES = tuple(field.name for field in dataclasses.fields(Score))


class Scorer:
    """Score images against one film ``[row, column]`` in 0..1; a border is left out."""

    def __init__(self, film: Image, border_px: int) -> None:
        self.border_px = border_px
        self.inner = tuple(slice(border_px, extent - border_px) for extent in film.shape)
        self.film = film[self.inner].astype(np.float64)
        self.similarity = Similarity(film, border_px)
        self.detail = _measure_detail(film, border_px)

    def score(self, image: Image) -> Score:
        """Return the scores of an image of the film's shape."""
        values = image[self.inner].astype(np.float64)
        error = float(np.mean((values - self.film) ** 2))
        detail = _measure_detail(image, self.border_px) / self.detail
        ssim, ms_ssim = self.similarity.measure(image)
        return Score(
            error, to_psnr(error), to_psnr(_fit_tone(values, self.film)), ssim, ms_ssim, 10 * float(np.log10(detail))
        )


def to_psnr(mse: float) -> float:
    """Return PSNR in dB at data range 1; errors below 1e-12 count as 1e-12."""
    return -10 * float(np.log10(max(mse, MIN_ERROR)))


def _fit_tone(values: NDArray[np.float64], film: NDArray[np.float64]) -> float:
    """Return the mean squared error that the best linear change of tone leaves: what regression does not explain."""
    one, two = values - values.mean(), film - film.mean()
    return float(np.mean(two**2) - np.mean(one * two) ** 2 / max(float(np.mean(one**2)), MIN_ERROR))


def _measure_detail(image: Image, border_px: int) -> float:
    detail = smooth(image, FINE) - smooth(image, COARSE)
    border = max(border_px - len(FINE) // 2, 0)
    return max(float(np.var(detail[border : detail.shape[0] - border, border : detail.shape[1] - border])), MIN_ERROR)
