"""HU to attenuation, in two bases.

With one effective energy (research default for 120 kVp, 3 mm Al, CsI): ``mu = mu_water * (1 + HU / 1000)`` up to water,
and ``mu_water * (1 + bone_factor * HU / 1000)`` above. Both terms are linear in a basis each, so a CT is projected once
and every later choice of ``mu_water`` or ``bone_factor`` costs nothing. HU stays continuous down to air: nothing in the
lung is thresholded.
"""

import numpy as np
from numpy.typing import NDArray

from drrx.radiograph.settings import ComposeDrrSettings

#: The bases as bands of HU for the projector; their line integrals over 1000 are ``water_mm`` and ``bone_mm``.
BASIS_BANDS_HU = ((-1000.0, 0.0), (0.0, np.inf))


def make_bases(hu: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split HU into the relative density up to water and the excess above it.

    Parameters
    ----------
    hu
        Any shape, HU. Below -1000 counts as air.

    Returns
    -------
    Two float32 arrays of that shape, no unit: ``1 + min(HU, 0) / 1000`` (0 for air, 1 from water up) and
    ``max(HU, 0) / 1000``. Their line integrals are ``water_mm`` and ``bone_mm``.
    """
    scaled = hu.astype(np.float32)
    scaled /= 1000
    bone = np.maximum(scaled, 0)
    scaled += 1
    return np.clip(scaled, 0, 1, out=scaled), bone


def make_line_integral(
    water_mm: NDArray[np.float32], bone_mm: NDArray[np.float32], settings: ComposeDrrSettings
) -> NDArray[np.float32]:
    """Return the line integral of attenuation (no unit) for the two basis line integrals in mm."""
    return (settings.mu_water_per_mm * (water_mm + settings.bone_factor * bone_mm)).astype(np.float32)
