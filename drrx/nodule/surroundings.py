"""The CT around a place before a nodule is there, and how near other nodules are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.labels import IS_LOBE, IS_LUNG
from drrx.records.anatomy import Label
from drrx.volume import Volume

REACH_MM = 10.0
#: A nodule already taken, or one of the CT's own: centre in LPS mm and diameter in mm.
Ball = tuple[NDArray[np.float64], float]


@dataclass(frozen=True)
class Surroundings:
    """The CT around a ball.

    Attributes
    ----------
    hu_lung_local
        Median of lung without vessels, 3-10 mm outside the ball.
    hu_shell_mean
        Mean of all tissue of the lung, 0-5 mm outside the ball.
    clearance_mm
        From the ball to the centre of the nearest voxel that is not lung; negative inside; at most 10.
    field_mm
        From the ball to the nearest voxel outside the body, or to the sides of the scan; at most 10.
    """

    hu_lung_local: float
    hu_shell_mean: float
    clearance_mm: float
    field_mm: float


def survey(ct: Volume, labels: Volume, center_mm: NDArray, radius_mm: float) -> Surroundings | None:
    """Look at the CT up to 10 mm around a ball; ``None`` without lung there."""
    reach = radius_mm + REACH_MM
    index, spacing = ct.to_index(center_mm), np.array(ct.spacing_mm)
    low = np.maximum(np.floor(index - reach / spacing), 0).astype(int)
    high = np.minimum(np.ceil(index + reach / spacing) + 1, ct.shape).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [((np.arange(a, b) - i) * s) ** 2 for a, b, i, s in zip(low, high, index, spacing, strict=True)]
    beyond = np.sqrt(axes[0][:, None, None] + axes[1][:, None] + axes[2]) - radius_mm
    hu, label = ct.values[window], labels.values[window]
    is_lung = IS_LUNG[label]
    lung = hu[IS_LOBE[label] & (beyond >= 3) & (beyond <= 10)]
    shell = hu[is_lung & (beyond >= 0) & (beyond <= 5)]
    if lung.size < 20 or shell.size < 20:
        return None
    sides_mm = (np.minimum(index, np.array(ct.shape) - 1 - index) * spacing)[1:].min() - radius_mm
    return Surroundings(
        hu_lung_local=float(np.median(lung)), hu_shell_mean=float(shell.mean()),
        clearance_mm=float(beyond[~is_lung].min(initial=REACH_MM)),
        field_mm=float(min(beyond[label == Label.OUTSIDE].min(initial=REACH_MM), sides_mm)),
    )  # fmt: skip


def overlaps_another(center_mm: NDArray, diameter_mm: float, others: Sequence[Ball]) -> bool:
    """Say whether a nodule is too near to one of ``others``.

    Too near: closer than 1.5 times the sum of the radii in 3-D, or more than 20 % of the smaller disc hidden behind the
    other one when looked at from the front. The views of the case are asked in ``drrx/stages/view_check.py``.
    """
    for other_mm, other_diameter in others:
        apart = np.asarray(center_mm) - other_mm
        if np.linalg.norm(apart) < 0.75 * (diameter_mm + other_diameter):
            return True
        a, b = diameter_mm / 2, other_diameter / 2
        if lens_area(float(np.hypot(apart[0], apart[2])), a, b) > 0.2 * pi * min(a, b) ** 2:
            return True
    return False


def lens_area(distance: float, a: float, b: float) -> float:
    """Area that two discs of radius ``a`` and ``b`` share."""
    if distance >= a + b:
        return 0.0
    if distance <= abs(a - b):
        return pi * min(a, b) ** 2
    x = (distance**2 + a**2 - b**2) / (2 * distance)
    y = sqrt(max(0.0, a**2 - x**2))
    return a * a * acos(x / a) + b * b * acos((distance - x) / b) - distance * y
