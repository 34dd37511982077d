"""One exposed film: everything that a twin and its positives share, so that only the nodule differs."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.radiograph.display import DisplayCurve, fit_display_curve
from drrx.radiograph.exposure import BODY_LINE_INTEGRAL, Exposure, make_exposure
from drrx.radiograph.settings import ComposeDrrSettings

LUNG_PATH_MM = 60.0  # behind lung: more than this much of it on the ray
MEDIASTINUM_PATH_MM = 60.0


@dataclass(frozen=True)
class Film:
    """Scatter, noise and display curve of one view of one case, all taken from the nodule-free twin."""

    exposure: Exposure
    curve: DisplayCurve

    @classmethod
    def expose_twin(
        cls,
        line_integral: NDArray[np.float32],
        lung_mm: NDArray[np.float32],
        mediastinum_mm: NDArray[np.float32],
        view: View,
        settings: ComposeDrrSettings,
        rng: np.random.Generator,
    ) -> Self:
        """Expose the twin and choose the display window from it.

        Parameters
        ----------
        line_integral
            float32 ``[row, column]`` of the twin, no unit.
        lung_mm, mediastinum_mm
            float32 ``[row, column]``: path through lung and through the mediastinum, mm.
        view
            For the pixel pitch.
        settings
            Physics and window.
        rng
            Draws the quantum noise.
        """
        mediastinum = mediastinum_mm > MEDIASTINUM_PATH_MM
        lung = (lung_mm > LUNG_PATH_MM) & ~mediastinum
        exposure = make_exposure(line_integral, lung, mediastinum, view.pixel_spacing_mm[1], settings, rng)
        body = line_integral > BODY_LINE_INTEGRAL
        return cls(exposure, fit_display_curve(exposure.detect(line_integral), lung, body, settings))

    def develop(self, line_integral: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the displayed DRR, float32 ``[row, column]`` in 0..1, bone white, of a line integral (no unit)."""
        return self.curve.apply(self.exposure.detect(line_integral))
