"""Does an image carry a fixed grid, of tiles, Haar packets or upsampling? Peaks of its mean periodogram."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.noise import OCTAVES, TILE_PX, Image, Mask, cut_tiles

PITCHES = (2, 4, 8)
MAX_PITCH = max(PITCHES)
INNER, OUTER = 3, 6
DIRECTIONS = {"horizontal": (0, 1), "vertical": (1, 0), "diagonal": (1, 1), "antidiagonal": (1, -1)}


def measure_peaks(image: Image, mask: Mask | None = None) -> dict[str, float]:
    """Return how far the spectrum at grid frequencies stands above its surroundings, dB, by direction, and ``largest``.

    A pattern that repeats every 2, 4 or 8 px has power at multiples of 1/8 cycles/px; those of each direction are
    looked at and the largest is given, under ``horizontal`` (stripes that change along a row), ``vertical``,
    ``diagonal``, ``antidiagonal``; by period under ``every_2_px``, ``every_4_px``, ``every_8_px``.

    The lung field's tiles are each divided by their power above 1/16 cycles/px, so that quiet tiles count as much as
    busy ones, and their periodograms averaged (Welch 1967). The surroundings of a coefficient are the larger of two
    medians: of those 3 to 6 bins away all around, and of those along its direction. So neither a ridge along an axis
    nor the slope of 1/f noise is taken for a peak.
    """
    spectra = np.abs(np.fft.fft2(cut_tiles(image, mask))) ** 2
    line = np.fft.fftfreq(TILE_PX)
    fine = np.hypot(line[:, None], line[None, :]) > OCTAVES[2][0]
    mean = (spectra / np.maximum(spectra[:, fine].mean(axis=1), 1e-30)[:, None, None]).mean(axis=0)
    heights = {
        (name, k): _stand_out(mean, step, k) for name, step in DIRECTIONS.items() for k in range(1, MAX_PITCH // 2 + 1)
    }
    found = {name: max(height for (n, _), height in heights.items() if n == name) for name in DIRECTIONS}
    for pitch in PITCHES:
        own = [k for k in range(1, MAX_PITCH // 2 + 1) if MAX_PITCH // gcd(k, MAX_PITCH) == pitch]
        found[f"every_{pitch}_px"] = max(height for (_, k), height in heights.items() if k in own)
    return {name: round(value, 2) for name, value in (found | {"largest": max(found.values())}).items()}


def measure_blocks(image: Image, mask: Mask | None = None) -> dict[str, float]:
    """Return the same for the size of differences between neighbouring pixels.

    Blocks of random values have a grid of edges, but no power at the grid's own frequencies; their differences do.
    """
    steps = [np.abs(np.diff(image, axis=axis, append=image[-1:] if axis == 0 else image[:, -1:])) for axis in (0, 1)]
    return measure_peaks(steps[0] + steps[1], find_lung_field(image) if mask is None else mask)


def _stand_out(mean: NDArray[np.float64], step: tuple[int, int], k: int) -> float:
    """Return the dB of frequency ``k / 8 * step`` above its surroundings; indices wrap round as frequencies do."""
    row, column = (k * TILE_PX // MAX_PITCH * part for part in step)
    reach = np.arange(-OUTER, OUTER + 1)
    away = np.hypot(reach[:, None], reach[None, :])
    around = mean[np.ix_((row + reach) % TILE_PX, (column + reach) % TILE_PX)][(away >= INNER) & (away <= OUTER)]
    beside = reach[np.abs(reach) >= INNER]
    along = mean[(row + beside * step[0]) % TILE_PX, (column + beside * step[1]) % TILE_PX]
    return float(10 * np.log10(mean[row % TILE_PX, column % TILE_PX] / max(np.median(around), np.median(along), 1e-30)))
