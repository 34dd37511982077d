"""Means over films, with intervals and tests over patients."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from drrx.seeds import make_rng


def bootstrap_mean(
    values: Sequence[float], patients: Sequence[str], resamples: int, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean over films and its 95 % interval over patients (percentile bootstrap of whole patients)."""
    sums, counts = _sum_patients(values, patients)
    drawn = make_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(np.mean(values)), float(low), float(high)


def find_p_value(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test on patients' mean differences; 1 if all are 0."""
    sums, counts = _sum_patients(differences, patients)
    means = sums / counts
    return float(stats.wilcoxon(means).pvalue) if np.any(means) else 1.0


def _sum_patients(values: Sequence[float], patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index)
