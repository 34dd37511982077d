"""Texture of tissue and noise of the scanner."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from drrx.phantom.canvas import Canvas
from drrx.phantom.field import FieldGrid


def make_texture(grid: FieldGrid, rng: np.random.Generator, correlation_mm: float) -> NDArray[np.float32]:
    """Return a random field of unit variance on the field grid with a Gaussian correlation length in mm."""
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    if correlation_mm > 0.5 * grid.step_mm:
        white = gaussian_filter(white, correlation_mm / grid.step_mm, mode="nearest")
    return np.asarray(white / max(float(white.std()), 1e-6), np.float32)


def add_noise(canvas: Canvas, rng: np.random.Generator, sd_hu: float) -> None:
    """Add scanner noise to the CT: correlated in the slice, stronger where much body lies in the beam's way.

    It is white noise smoothed over about one voxel of 0.9 mm. Its standard deviation is ``sd_hu`` in a chest slice;
    slices with more bone and muscle (shoulders) have more, air outside the body less.
    """
    if sd_hu <= 0:
        return
    sigma = [0.0 if s > 3.0 else r / s for r, s in zip((0.55, 0.62, 0.62), canvas.spacing_mm[::-1], strict=True)]
    mass = np.maximum(canvas.hu.mean(axis=(1, 2)) + 1000.0, 1.0)
    level = np.clip(np.sqrt(mass / np.median(mass)), 0.8, 1.7) * sd_hu
    block = 32
    for first in range(0, canvas.shape[0], block):
        last = min(first + block, canvas.shape[0])
        white = rng.standard_normal((last - first, *canvas.shape[1:]), dtype=np.float32)
        white = gaussian_filter(white, sigma, mode="wrap", truncate=2.5)
        white /= max(float(white.std()), 1e-6)
        scale = level[first:last, None, None].astype(np.float32)
        outside = canvas.labels[first:last] == 0
        canvas.hu[first:last] += white * np.where(outside, np.float32(0.45) * scale, scale)
