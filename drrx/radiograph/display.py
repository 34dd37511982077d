"""The for-presentation curve: log signal to display values, bone white; fitted on the twin only."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.radiograph.settings import ComposeDrrSettings

SIGMOID_SLOPE = 4.0  # steepness of the S-shaped film curve over the window; 0 would be a straight line


@dataclass(frozen=True)
class DisplayCurve:
    """S-shaped curve over the window ``low..high`` of the log signal, like a film's; strictly rising.

    Attributes
    ----------
    low, high
        Log signal (no unit) shown black and white.
    gamma
        Exponent applied to the position in the window before the S-curve.
    """

    low: float
    high: float
    gamma: float

    def apply(self, log_signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return display values 0..1 (white = 1), float32, same shape; outside the window is clipped."""
        position = np.clip((log_signal - self.low) / (self.high - self.low), 0, 1) ** self.gamma
        end = np.tanh(SIGMOID_SLOPE / 4)
        return (0.5 + 0.5 * np.tanh(SIGMOID_SLOPE / 2 * (position - 0.5)) / end).astype(np.float32)

    def invert(self, display: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log signal (no unit) of display values strictly inside 0..1; the inverse of ``apply``."""
        end = np.tanh(SIGMOID_SLOPE / 4)
        position = 0.5 + np.arctanh((2 * display.astype(np.float64) - 1) * end) * 2 / SIGMOID_SLOPE
        return (self.low + (self.high - self.low) * np.clip(position, 0, 1) ** (1 / self.gamma)).astype(np.float32)

    def to_json(self) -> dict[str, float]:
        """Return the parameters for a record."""
        return asdict(self)


def fit_display_curve(
    twin_log_signal: NDArray[np.float32],
    lung: NDArray[np.bool_],
    body: NDArray[np.bool_],
    settings: ComposeDrrSettings,
) -> DisplayCurve:
    """Choose the window from the twin: black from the lungs, white from the body, as films are exposed.

    Parameters
    ----------
    twin_log_signal
        float32 ``[row, column]``, no unit: the view without nodules.
    lung, body
        bool ``[row, column]``: pixels behind lung, and behind the body. The whole image stands in for an empty one.
    settings
        Percentiles and gamma.
    """
    low = np.percentile(twin_log_signal[lung if lung.any() else ...], settings.window_low_percent)
    high = np.percentile(twin_log_signal[body if body.any() else ...], settings.window_high_percent)
    return DisplayCurve(float(low), float(max(high, low + 1e-3)), settings.display_gamma)
