"""Do two samples of nodules look alike? Tests that a different mix of sizes does not decide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Row = dict[str, Any]
Values = NDArray[np.float64]
#: What is compared, and its name in tables.
MEASURES = {
    "contrast": "contrast, -ln(I/I0)",
    "contrast_plain": "contrast with what lies before and behind",
    "edge_per_mm": "edge, 1/mm",
    "gradient_per_mm": "edge gradient, -ln(I/I0) per mm",
    "size_mm": "size in projection, mm",
    "unevenness": "unevenness of the outline",
    "grain": "grain inside",
    "hu_core": "HU, 80th percentile",
    "hu_median": "HU, median",
    "contact": "contact with dense tissue",
}
LEVEL = 0.05
FEW = 5  # nodules of each kind that a test needs


@dataclass(frozen=True)
class Difference:
    """One measure in two samples.

    Attributes
    ----------
    real, inserted
        10th, 50th and 90th percentile.
    ks_p
        Kolmogorov-Smirnov test of the values.
    matched_p
        The same of what is left after a parabola in diameter, fitted to both samples together, is taken off; or
        Mann-Whitney's test of it, whichever is smaller, times 2.
    auc
        Chance that an inserted nodule has more left than a real one: .5 is alike.
    shift
        Median left of the inserted less that of the real, in the measure's unit.
    different
        Whether ``matched_p`` is below 5 %, corrected for the number of measures (Holm).
    """

    real: tuple[float, float, float]
    inserted: tuple[float, float, float]
    ks_p: float
    matched_p: float
    auc: float
    shift: float
    different: bool = False


def compare_samples(real: Sequence[Row], inserted: Sequence[Row], measures: Iterable[str]) -> dict[str, Difference]:
    """Compare every measure of two samples; rows have the measures and ``diameter_mm``. Too few rows: no measure."""
    if min(len(real), len(inserted)) < FEW:
        return {}
    found = {key: _compare(real, inserted, key) for key in measures}
    ranked = sorted(found, key=lambda key: found[key].matched_p)
    different: set[str] = set()
    for rank, key in enumerate(ranked):
        if found[key].matched_p * (len(ranked) - rank) >= LEVEL:
            break
        different.add(key)
    return {key: Difference(**{**vars(value), "different": key in different}) for key, value in found.items()}


def _compare(real: Sequence[Row], inserted: Sequence[Row], key: str) -> Difference:
    first, second = (np.array([row[key] for row in rows], float) for rows in (real, inserted))
    diameters = np.array([row["diameter_mm"] for row in (*real, *inserted)], float)
    left = _take_off_size(np.concatenate([first, second]), diameters)
    left_first, left_second = left[: len(first)], left[len(first) :]
    rank = stats.mannwhitneyu(left_second, left_first)
    matched = min(_ks(left_first, left_second), float(rank.pvalue))
    return Difference(
        real=_percentiles(first), inserted=_percentiles(second), ks_p=_ks(first, second),
        matched_p=min(1.0, 2 * matched), auc=float(rank.statistic) / (len(first) * len(second)),
        shift=float(np.median(left_second) - np.median(left_first)),
    )  # fmt: skip


def _take_off_size(values: Values, diameters: Values) -> Values:
    terms = np.stack([np.ones_like(diameters), diameters, diameters**2], axis=1)
    return np.asarray(values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0])


def _percentiles(values: Values) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (10, 50, 90))
    return float(low), float(middle), float(high)


def _ks(first: Values, second: Values) -> float:
    return float(stats.ks_2samp(first, second, method="asymp").pvalue)
