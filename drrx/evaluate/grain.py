"""The gains of a sample's grain, octave by octave, that bring the lung field's noise to that of real films."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares

from drrx.errors import DrrxError
from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.noise import (
    OCTAVE_NAMES,
    OCTAVES,
    Image,
    Mask,
    NoiseNorm,
    cut_tiles,
    make_norm,
    measure_octaves,
    sum_octaves,
    to_db,
    transform,
)
from drrx.pairs.domain import DrrRow, load_drr
from drrx.restorer.change import find_change
from drrx.restorer.grain import weigh_grain
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_seed

MAX_GAINS = (3.0, 3.0, 1.0, 1.0)
"""Fine grain may be made stronger. Coarse grain has the size of vessels and nodules: it is never made stronger."""
STARTS = (0.2, 0.9)
"""A power may have one and the same value at two gains: less grain is tried first."""
ABOVE = 3.0
"""Noise above the films' counts so many times as much as noise below."""


def fit_grain(
    means: Sequence[Image], samples: Sequence[Image], norm: NoiseNorm, masks: Sequence[Mask] | None = None
) -> dict[str, Any]:
    """Fit the four gains of ``weigh_grain`` so that ``mean + weighed (sample - mean)`` has the films' noise.

    Octaves of the grain overlap, so a power is a quadratic form of the gains: its matrix is measured once per tile, and
    the gains, 0 to 3 and for the two coarse octaves 0 to 1, are those of least squares of the differences in dB. Powers
    are medians over tiles and then over images, as in ``measure_octaves``.

    Parameters
    ----------
    means, samples
        Pairs of restorations, modes ``mean`` and ``sample``, windowed values, float32 ``[row, column]``, 0.42 mm grid.
    norm
        Octaves of real films.
    masks
        Lung field of each pair; found on the mean where not given.

    Returns
    -------
    dict
        ``grain``: the gains, for the setting of that name with ``alpha`` 1. ``octaves``: differences from the films'
        median in dB of the mean, of the sample and of the fit.
    """
    masks = [find_lung_field(mean) for mean in means] if masks is None else masks
    forms = [_measure_forms(*triple) for triple in zip(means, samples, masks, strict=True)]

    def misfit(gains: NDArray[np.float64]) -> NDArray[np.float64]:
        difference = _compare(forms, gains, norm)
        return np.where(difference > 0, ABOVE, 1.0) * difference

    starts = [np.full(len(OCTAVES), start) for start in STARTS]
    fits = [least_squares(misfit, start, bounds=(0.0, MAX_GAINS), diff_step=1e-3) for start in starts]
    gains = min(fits, key=lambda fit: float(fit.cost)).x
    ways = {"mean_db": np.zeros_like(gains), "sample_db": np.ones_like(gains), "fit_db": gains}
    differences = {name: _compare(forms, way, norm) for name, way in ways.items()}
    octaves = {
        octave: {name: round(float(values[i]), 3) for name, values in differences.items()}
        for i, octave in enumerate(OCTAVE_NAMES)
    }
    return {"grain": [round(float(gain), 2) for gain in gains], "octaves": octaves, "images": len(forms)}


def measure_grain(
    drrs: Sequence[DrrRow], films: Sequence[Image], restorer: Restorer, how: RestoreCxrSettings, seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Restore DRRs and fit the grain of their samples to films; see ``fit_grain``.

    Raises
    ------
    DrrxError
        There is no DRR.
    """
    if not drrs:
        raise DrrxError(
            where="--parts grain", found="no DRR", needed="DRRs to restore", hint="Give a folder of them with --drrs."
        )
    plain, means, samples = dataclasses.replace(how, mode="sample"), [], []
    for row in drrs:
        values, _ = load_drr(row)
        change = find_change(torch.from_numpy(values)[None, None], restorer, plain, [make_seed(seed, row.case)])
        means.append(values + change.mean[0, 0].numpy())
        samples.append(values + change.total[0, 0].numpy())
        progress(f"grain: {len(means)} of {len(drrs)} DRRs")
    return fit_grain(means, samples, make_norm([measure_octaves(film) for film in films]))


def _measure_forms(mean: Image, sample: Image, mask: Mask) -> NDArray[np.float64]:
    """Return ``[tile, octave, 6, 6]``: powers and cross-powers of the mean, the grain's four octaves and its rest."""
    grain = np.asarray(sample - mean, dtype=np.float32)
    rest = weigh_grain(grain, (0.0,) * len(OCTAVES))
    bands = [np.asarray(weigh_grain(grain, unit) - rest) for unit in np.eye(len(OCTAVES)).tolist()]
    parts = [transform(cut_tiles(part, mask)) for part in (mean, *bands, rest)]
    rows = [[sum_octaves((a * b.conj()).real) for b in parts] for a in parts]
    return np.moveaxis(np.array(rows), (0, 1), (2, 3))


def _compare(forms: Sequence[NDArray[np.float64]], gains: NDArray[np.float64], norm: NoiseNorm) -> NDArray[np.float64]:
    """Return by how much the octaves' noise is above the films' median, dB."""
    weights = np.array([1.0, *gains, gains[-1]])
    powers = [np.median(np.einsum("i,toij,j->to", weights, form, weights), axis=0) for form in forms]
    return np.asarray(to_db(np.median(powers, axis=0)) - norm.median_db)
