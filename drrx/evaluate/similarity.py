"""Structural similarity with one film: SSIM and MS-SSIM."""

import numpy as np
from numpy.typing import NDArray

from drrx.evaluate.smooth import make_window, smooth

RADIUS_PX = 5
WINDOW = make_window(1.5, RADIUS_PX)
C1, C2 = 0.01**2, 0.03**2
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, fine to coarse: Wang, Simoncelli and Bovik 2003, section 4.2."""
Image = NDArray[np.float32]


class Similarity:
    """SSIM and MS-SSIM of images with one film, whose own moments are taken once.

    Data range 1, Gaussian window of sigma 1.5 px cut at 5 px, population covariance: scikit-image's
    ``structural_similarity`` with ``gaussian_weights``.

    Parameters
    ----------
    film
        float32 ``[row, column]`` in 0..1, at least 192 px a side.
    border_px
        Left out of the map at the finest scale, and half as much at each coarser one, but at least the radius of the
        window, so that nothing beyond the image counts.
    """

    def __init__(self, film: Image, border_px: int) -> None:
        self.border_px = border_px
        self.films = _to_pyramid(film)
        self.moments = [_measure_moments(values) for values in self.films]

    def measure(self, image: Image) -> tuple[float, float]:
        """Return SSIM (Wang et al. 2004, equation 13) and MS-SSIM (Wang et al. 2003, equation 7) of an image."""
        terms = [self._compare(scale, values) for scale, values in enumerate(_to_pyramid(image))]
        structure = [max(float(np.mean(contrast)), 0.0) for _, contrast in terms[:-1]]
        # The luminance term enters at the coarsest scale alone.
        last = max(float(np.mean(terms[-1][0] * terms[-1][1])), 0.0)
        product = np.prod([value**weight for value, weight in zip([*structure, last], WEIGHTS, strict=True)])
        return float(np.mean(terms[0][0] * terms[0][1])), float(product)

    def _compare(self, scale: int, image: Image) -> tuple[Image, Image]:
        """Return the maps of luminance and of contrast times structure, border left out."""
        (film_mean, film_variance), (mean, variance) = self.moments[scale], _measure_moments(image)
        covariance = smooth(image * self.films[scale], WINDOW) - mean * film_mean
        luminance = (2 * mean * film_mean + C1) / (mean**2 + film_mean**2 + C1)
        contrast = (2 * covariance + C2) / (variance + film_variance + C2)
        border = max(self.border_px >> scale, RADIUS_PX) - RADIUS_PX
        inner = tuple(slice(border, extent - border) for extent in mean.shape)
        return luminance[inner], contrast[inner]


def _to_pyramid(image: Image) -> list[Image]:
    """Return the image at five scales, each the mean of 2 x 2 pixels of the finer one."""
    levels = [np.asarray(image, np.float32)]
    for _ in WEIGHTS[1:]:
        fine = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2]
        levels.append(np.float32(0.25) * (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]))
    return levels


def _measure_moments(image: Image) -> tuple[Image, Image]:
    mean = smooth(image, WINDOW)
    return mean, smooth(image * image, WINDOW) - mean * mean
