"""Noise of the lung field: power in octaves of spatial frequency, against real films; grid peaks; the blend that fits.

The noise power spectrum of a tile is the periodogram of its detrended, tapered values (IEC 62220-1 takes off a
second-order surface, too). Medians over tiles are taken, so that tiles with ribs and large vessels weigh little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.evaluate.lung_field import find_lung_field

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Powers = NDArray[np.float64]
TILE_PX = 64
STEP_PX = 32
MIN_COVER = 0.98
OCTAVES = ((1 / 4, 1 / 2), (1 / 8, 1 / 4), (1 / 16, 1 / 8), (1 / 32, 1 / 16))
OCTAVE_NAMES = tuple(f"1/{round(1 / low)} to 1/{round(1 / high)} cycles/px" for low, high in OCTAVES)
FLOOR = 1e-15


@dataclass(frozen=True, eq=False)
class NoiseNorm:
    """What real films have, per octave of ``OCTAVES``: median and 95th percentile, dB of the display range squared."""

    median_db: NDArray[np.float64]
    high_db: NDArray[np.float64]


def cut_tiles(image: Image, mask: Mask | None = None) -> NDArray[np.float64]:
    """Return the tiles that lie in the lung field, detrended and tapered: ``[tile, 64, 64]``, tiles overlap by half.

    ``image`` is float32 ``[row, column]`` in windowed values 0..1; ``mask`` the lung field, found where not given. The
    taper is a 2-D Hann window of mean square 1: white noise keeps its variance.

    Raises
    ------
    DrrxError
        The lung field holds not one tile.
    """
    mask = find_lung_field(image) if mask is None else mask
    corners = [
        (top, left)
        for top in range(0, image.shape[0] - TILE_PX + 1, STEP_PX)
        for left in range(0, image.shape[1] - TILE_PX + 1, STEP_PX)
        if mask[top : top + TILE_PX, left : left + TILE_PX].mean() >= MIN_COVER
    ]
    if not corners:
        raise DrrxError(
            where="lung field for the noise spectrum", found="no square of 64 px inside it",
            needed="a frontal radiograph on the 0.42 mm grid", hint="Give a lung mask, or larger images.",
        )  # fmt: skip
    tiles = np.stack([image[top : top + TILE_PX, left : left + TILE_PX] for top, left in corners]).astype(np.float64)
    surfaces = _surfaces()
    flat = tiles.reshape(len(tiles), -1)
    taper = np.hanning(TILE_PX + 1)[:-1]
    window = np.outer(taper, taper)
    residual = (flat - (flat @ surfaces) @ surfaces.T).reshape(tiles.shape)
    return np.asarray(residual * (window / np.sqrt((window**2).mean())))


@lru_cache(maxsize=1)
def _surfaces() -> NDArray[np.float64]:
    """Return an orthonormal basis ``[pixel, 6]`` of second-order surfaces on a tile."""
    y, x = np.mgrid[:TILE_PX, :TILE_PX].reshape(2, -1) / TILE_PX - 0.5
    return np.asarray(np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0])


def transform(tiles: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return coefficients whose squared magnitudes add up to a tile's mean square."""
    return np.asarray(np.fft.fft2(tiles)) / TILE_PX**2


@lru_cache(maxsize=1)
def _octave_bins() -> NDArray[np.float64]:
    """Return ``[octave, 64 * 64]`` with 1 where a coefficient belongs to an octave."""
    line = np.fft.fftfreq(TILE_PX)
    radius = np.hypot(line[:, None], line[None, :]).ravel()
    return np.stack([((radius > low) & (radius <= high)).astype(np.float64) for low, high in OCTAVES])


def sum_octaves(spectra: NDArray[np.float64]) -> Powers:
    """Return the power in each octave, ``[tile, octave]``, of spectra ``[tile, 64, 64]``."""
    return np.asarray(spectra.reshape(len(spectra), -1) @ _octave_bins().T)


def to_db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return power in dB, 1 = 0 dB."""
    return np.asarray(10 * np.log10(np.maximum(power, FLOOR)))


def measure_octaves(image: Image, mask: Mask | None = None) -> NDArray[np.float64]:
    """Return the lung field's noise power per octave of ``OCTAVES``, dB of the display range squared (1 = 0 dB).

    Power of an octave: the variance that its frequencies bring; median over tiles (see ``cut_tiles``).
    """
    return to_db(np.median(sum_octaves(np.abs(transform(cut_tiles(image, mask))) ** 2), axis=0))


def make_norm(films: Sequence[NDArray[np.float64]]) -> NoiseNorm:
    """Return median and 95th percentile of many films' ``measure_octaves``."""
    table = np.stack(list(films))
    return NoiseNorm(np.median(table, axis=0), np.percentile(table, 95, axis=0))


def compare_noise(outputs: Sequence[NDArray[np.float64]], norm: NoiseNorm) -> dict[str, Any]:
    """Compare outputs' ``measure_octaves`` with real films; keys are JSON-ready.

    ``octaves``: per octave the films' and the outputs' median in dB, the difference, and the share of outputs above the
    films' 95th percentile. ``distance_db``: mean absolute difference of the medians. ``worst_db``: the largest.
    ``share_above``: outputs above that percentile in any octave.
    """
    table = np.stack(list(outputs))
    median = np.median(table, axis=0)
    difference, above = median - norm.median_db, table > norm.high_db
    octaves = {
        name: {
            "films_db": _round(norm.median_db[i]), "films_95th_db": _round(norm.high_db[i]),
            "outputs_db": _round(median[i]), "difference_db": _round(difference[i]),
            "share_above": _round(above[:, i].mean()),
        }
        for i, name in enumerate(OCTAVE_NAMES)
    }  # fmt: skip
    return {
        "octaves": octaves, "distance_db": _round(np.abs(difference).mean()),
        "worst_db": _round(difference[np.abs(difference).argmax()]), "share_above": _round(above.any(axis=1).mean()),
        "images": len(table),
    }  # fmt: skip


def _round(value: float) -> float:
    return round(float(value), 3)
