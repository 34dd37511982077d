"""Line integrals to a detected log signal: Beer-Lambert, scatter behind a grid, the detector."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.radiograph.detector import Detector
from drrx.radiograph.scatter import make_scatter
from drrx.radiograph.settings import ComposeDrrSettings

BODY_LINE_INTEGRAL = 0.4  # 20 mm of water: less is skin, clothes or air


@dataclass(frozen=True, eq=False)
class Exposure:
    """What twin and positive share, so that a pixel away from the nodule cannot know the label.

    Attributes
    ----------
    scatter
        float32 ``[row, column]``, in units of the unattenuated primary beam; from the twin.
    detector
        Noise, blur and gain, drawn once.
    floor
        Smallest signal that counts as detected, in the same units; keeps the logarithm finite.
    """

    scatter: NDArray[np.float32]
    detector: Detector
    floor: float

    def detect(self, line_integral: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the detected log signal ``-ln(I / I0)`` (no unit), float32 ``[row, column]``.

        ``line_integral`` is float32 ``[row, column]``, no unit.
        """
        signal = self.detector.detect(np.exp(-line_integral) + self.scatter)
        return -np.log(np.maximum(signal, np.float32(self.floor)))


def make_exposure(
    line_integral: NDArray[np.float32],
    lung: NDArray[np.bool_],
    mediastinum: NDArray[np.bool_],
    pitch_mm: float,
    settings: ComposeDrrSettings,
    rng: np.random.Generator,
) -> Exposure:
    """Make the exposure of one view from its twin.

    Parameters
    ----------
    line_integral
        float32 ``[row, column]``, no unit, of the CT without nodules.
    lung, mediastinum
        bool ``[row, column]``: pixels behind lung only, and behind the mediastinum; where the scatter fractions hold.
    pitch_mm
        Pixel pitch on the detector, mm.
    settings
        The physics.
    rng
        Draws noise and gain.
    """
    scatter = make_scatter(line_integral, lung, mediastinum, pitch_mm, settings)
    radiation = np.exp(-line_integral) + scatter
    body = line_integral > BODY_LINE_INTEGRAL
    behind_body = float(radiation[body].mean()) if body.any() else 1.0
    rows, columns = line_integral.shape
    detector = Detector.draw(behind_body, (rows, columns), pitch_mm, settings, rng)
    floor = max(0.02 * float(radiation.min()), float(np.finfo(np.float32).tiny))
    return Exposure(scatter, detector, floor)
