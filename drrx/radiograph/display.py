"""The for-presentation curve: log signal to display values, bone white; fitted on the twin only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.radiograph.settings import ComposeDrrSettings


@dataclass(frozen=True)
class DisplayCurve:
    """S-shaped curve over the window ``low..high`` of the log signal, like a film's; strictly rising.

    Attributes
    ----------
    low, high
        Log signal (no unit) shown black and white.
    gamma
        Exponent applied to the position in the window before the S-curve.
    slope
        Steepness of the S-curve over the window; near 0 it is a straight line.
    """

    low: float
    high: float
    gamma: float
    slope: float = 4.0

    def apply(self, log_signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return display values 0..1 (white = 1), float32, same shape; outside the window is clipped."""
        position = np.clip((log_signal - self.low) / (self.high - self.low), 0, 1) ** self.gamma
        end = np.tanh(self.slope / 4)
        return (0.5 + 0.5 * np.tanh(self.slope / 2 * (position - 0.5)) / end).astype(np.float32)

    def invert(self, display: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log signal (no unit) of display values strictly inside 0..1; the inverse of ``apply``."""
        end = np.tanh(self.slope / 4)
        position = 0.5 + np.arctanh((2 * display.astype(np.float64) - 1) * end) * 2 / self.slope
        return (self.low + (self.high - self.low) * np.clip(position, 0, 1) ** (1 / self.gamma)).astype(np.float32)

    def to_json(self) -> dict[str, float]:
        """Return the parameters for a record; ``from_json`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, float]) -> Self:
        """Return the curve of the ``display`` part of a ``drr.json``: its ``invert`` gives the log signal back."""
        try:
            return cls(**{field.name: float(data[field.name]) for field in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise DrrxError(
                where="display record", found=f"no readable {error}", needed="the numbers low, high, gamma and slope",
                hint='Give the part "display" of a drr.json of this version.',
            ) from error  # fmt: skip


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
