"""The X-ray beam: what lengths of water and bone do to it, beam hardening included.

A voxel of ``h`` HU above water attenuates like water plus ``h / 1000`` parts of an *excess* ``x`` that turns water into
bone. Two demands fix the excess. Cortical bone (ICRU report 44, 1.92 g/cm3) must attenuate like cortical bone at every
energy where its CT number ``h_c`` is read, so ``mu_x = (mu_cortical - mu_water) / (h_c / 1000)``; and since ``h_c`` is
the CT number in the scanner's own beam, ``mu_x = mu_water`` there, as the definition of HU asks. The line integral is

    L = -ln sum_E w(E) exp(-mu_water(E) water_mm - mu_x(E) bone_mm)

with ``w`` the share of each energy in the signal of the open beam: photons times energy times absorbed share, for an
energy-integrating detector. ``beam_120kvp.json`` holds ``w``, ``mu_water``, ``mu_x``, and the six exponentials that
stand for its 108 energies to 2e-5 of ``L``.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drrx.radiograph.settings import ComposeDrrSettings

TABLE = Path(__file__).with_name("beam_120kvp.json")


@dataclass(frozen=True)
class Line:
    """One energy of a beam: its share of the open signal, and attenuation by the two bases in 1/mm."""

    weight: float
    mu_water_per_mm: float
    mu_excess_per_mm: float


@dataclass(frozen=True)
class Beam:
    """A beam as a few lines; weights add up to one, and the last line is the most penetrating in both bases.

    As a sum of exponentials with positive weights it rises strictly with either length, and far outside the body
    (metal, long oblique paths) it goes on as its last line.
    """

    lines: tuple[Line, ...]

    @classmethod
    def from_settings(cls, settings: ComposeDrrSettings) -> Self:
        """Return the beam that the settings ask for: polyenergetic, or of the one energy they describe."""
        if settings.beam == "120kvp":
            return cls(_read_lines())
        return cls((Line(1.0, settings.mu_water_per_mm, settings.mu_water_per_mm * settings.bone_factor),))

    def attenuate(self, water_mm: NDArray[np.floating], bone_mm: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the line integral ``-ln(I / I0)`` behind lengths of the bases.

        Parameters
        ----------
        water_mm, bone_mm
            Basis line integrals in mm, of one shape and dtype (float32 or float64).

        Returns
        -------
        Line integral (no unit), the same shape and dtype; 0 for nothing.
        """
        *softer, last = self.lines
        lost = np.zeros_like(water_mm)  # share of the beam that is gone besides what its last line loses
        for line in softer:
            exponent = (last.mu_water_per_mm - line.mu_water_per_mm) * water_mm
            exponent += (last.mu_excess_per_mm - line.mu_excess_per_mm) * bone_mm
            lost += line.weight * np.expm1(exponent)
        return last.mu_water_per_mm * water_mm + last.mu_excess_per_mm * bone_mm - np.log1p(lost)


@functools.cache
def _read_lines() -> tuple[Line, ...]:
    columns = json.loads(TABLE.read_text(encoding="utf-8"))["lines"]
    names = ("weight", "mu_water_per_mm", "mu_excess_per_mm")
    return tuple(Line(*row) for row in zip(*(columns[name] for name in names), strict=True))
