"""The grain of a sample, octave by octave: few steps of a sampler bring less of it than films have."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIGMAS_PX = (0.8, 1.6, 3.2, 6.4)
"""Edges of the octaves: Gaussians with half their amplitude left at periods of about 4.3, 8.5, 17 and 34 px."""
Values = NDArray[np.float32]


def weigh_grain(grain: Values, gains: Sequence[float]) -> Values:
    """Return grain ``[row, column]`` with each octave multiplied by its gain.

    Octaves are differences of Gaussians (Burt and Adelson 1983), which add up to the grain: filters of short reach and
    no grid, so that a change stays local and no pattern arises.

    Parameters
    ----------
    grain
        Sample minus mean, float32 ``[row, column]`` on the 0.42 mm grid.
    gains
        For periods of about 2-4, 4-8, 8-16 and 16-32 px; what is coarser takes the last one.
    """
    if all(gain == 1.0 for gain in gains):
        return grain
    total, finer = np.zeros_like(grain), grain
    for gain, sigma in zip(gains, SIGMAS_PX, strict=True):
        smooth = np.asarray(ndimage.gaussian_filter(grain, sigma, mode="reflect"))
        total += np.float32(gain) * (finer - smooth)
        finer = smooth
    return total + np.float32(gains[-1]) * finer
