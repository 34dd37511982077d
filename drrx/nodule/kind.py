"""The type of a real nodule, read off its HU."""

import numpy as np
from numpy.typing import NDArray

from drrx.records.nodule import Kind

# Solid tissue in a nodule, calcium in it: usual limits on unenhanced CTs of 1 to 3 mm slices.
SOLID_ABOVE_HU, CALCIUM_ABOVE_HU = -300.0, 200.0
CALCIFIED_FROM, SOLID_FROM, GLASS_BELOW = 0.1, 0.7, 0.05  # shares of the nodule, without its blurred rim


def find_kind(hu: NDArray[np.floating], weight: NDArray[np.floating] | None = None) -> Kind:
    """Return the type of a nodule from the HU of its voxels; ``weight`` tells how much of each is nodule.

    Calcified from a tenth above 200 HU on; solid from 70 % above -300 HU on, ground glass below 5 %, part-solid
    between.
    """
    dense, calcium = (float(np.average(hu > limit, weights=weight)) for limit in (SOLID_ABOVE_HU, CALCIUM_ABOVE_HU))
    if calcium >= CALCIFIED_FROM:
        return "calcified"
    if dense >= SOLID_FROM:
        return "solid"
    return "ground_glass" if dense < GLASS_BELOW else "part_solid"
