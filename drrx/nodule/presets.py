"""Named choices of size, type and place, so that a data set can be asked for in one word."""

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
from scipy.special import ndtr, ndtri

from drrx.records.nodule import Kind, Zone

KIND_SHARES: dict[Kind, float] = {"solid": 0.70, "part_solid": 0.12, "ground_glass": 0.10, "calcified": 0.08}


@dataclass(frozen=True)
class Preset:
    """Where a setting that is left alone comes from.

    Attributes
    ----------
    median_mm, sigma, low_mm, high_mm
        Log-normal of the diameter, cut off at both ends; ``sigma`` is that of ln(mm).
    kinds
        Share of each type.
    zone_weights
        Weight of each zone that may hold a nodule; ``None`` is wherever the lung is.
    """

    median_mm: float
    sigma: float
    low_mm: float
    high_mm: float
    kinds: dict[Kind, float] = field(default_factory=lambda: dict(KIND_SHARES))
    zone_weights: dict[Zone, float] | None = None

    def draw_diameter_mm(self, rng: np.random.Generator, low_mm: float, high_mm: float) -> float:
        """Draw from the log-normal, cut off at ``low_mm`` and ``high_mm``, by inversion."""
        a, b = (ndtr(log(limit / self.median_mm) / self.sigma) for limit in (low_mm, high_mm))
        if b <= a:
            return low_mm
        drawn = self.median_mm * exp(self.sigma * ndtri(rng.uniform(a, b)))
        return float(np.clip(drawn, low_mm, high_mm))

    def draw_kind(self, rng: np.random.Generator) -> Kind:
        """Draw a type."""
        kinds, shares = list(self.kinds), list(self.kinds.values())
        return kinds[rng.choice(len(kinds), p=shares)]


# Sizes: what radiographs show from about 8 mm on and miss up to 34 mm (Shah et al. 2003, median 19 mm; Austin et al.
# 1992, 6-34 mm, mean 16), and what screening CTs hold (LUNA16: median 9 mm, 90 % below 22 mm). The rest is ours.
PRESETS: dict[str, Preset] = {
    "cxr": Preset(14.0, 0.40, 6.0, 30.0),
    "screening": Preset(9.0, 0.50, 4.0, 30.0),
    "missed": Preset(17.0, 0.45, 6.0, 34.0),
    "visible": Preset(16.0, 0.35, 10.0, 30.0, {"solid": 1.0}, {"free": 1.0}),
    "hidden": Preset(
        17.0, 0.45, 6.0, 34.0,
        zone_weights={"apical": 1.0, "hilar": 1.0, "retrocardiac": 1.0, "subdiaphragm": 1.0},
    ),
}  # fmt: skip
