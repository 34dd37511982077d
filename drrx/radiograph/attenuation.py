"""HU to the two bases whose line integrals are projected, and from these to attenuation.

Up to water, attenuation is that of water times the relative density ``1 + HU / 1000``; above it the rest is bone. Both
are linear, so a CT is projected once per basis and every later choice of the beam costs nothing. HU stays continuous
down to air: nothing in the lung is thresholded.
"""

import numpy as np
from numpy.typing import NDArray

from drrx.radiograph.beam import Beam
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
    """Return the line integral of attenuation (no unit) in the settings' beam, for basis line integrals in mm."""
    return Beam.from_settings(settings).attenuate(water_mm, bone_mm).astype(np.float32, copy=False)
