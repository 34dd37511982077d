"""Uneven density inside a nodule."""

import numpy as np
from scipy.ndimage import gaussian_filter

from drrx.nodule.patch import Grid
from drrx.records.nodule_shape import Texture
from drrx.seeds import make_rng


def make_deviation(texture: Texture, occupancy: Grid, spacing_mm: float) -> Grid:
    """Return the HU by which a nodule's target differs from place to place, float32 on the grid of ``occupancy``.

    White noise through a Gaussian of half the correlation length: the autocorrelation is ``exp(-(r/correlation)^2)``.
    Mean (0) and standard deviation, weighted with the occupancy, are exact, so the HU that a nodule adds are the same
    with texture and without.
    """
    noise = make_rng(texture.seed).standard_normal(occupancy.shape, dtype=np.float32)
    field = gaussian_filter(noise, texture.correlation_mm / 2 / spacing_mm, mode="wrap").astype(np.float64)
    field -= np.average(field, weights=occupancy)
    field *= texture.sd_hu / np.sqrt(np.average(field**2, weights=occupancy))
    return field.astype(np.float32)
