"""The tone window: where black and white lie. The same rule for training films and for images to restore."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5
MIN_RANGE = 0.02


@dataclass(frozen=True)
class Window:
    """Linear tone window in display values: ``low`` goes to 0 and ``high`` to 1.

    Use the window of the nodule-free twin for every variant of a case: then no pixel away from a nodule knows of it.
    """

    low: float
    high: float

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return windowed values, float32, not clipped."""
        return ((values - self.low) / (self.high - self.low)).astype(np.float32)

    def invert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return display values of windowed ones, float32, not clipped."""
        return (values * (self.high - self.low) + self.low).astype(np.float32)

    def opened(self) -> "Window":
        """Return the window to show a restored image in.

        A range that is good already (black below 0.05, white above 0.85) is kept; a range that haze has narrowed
        (black above 0.15, white below 0.7) is opened to 0..1; linear between.
        """
        keep_low = np.clip((0.15 - self.low) / 0.10, 0.0, 1.0)
        keep_high = np.clip((self.high - 0.70) / 0.15, 0.0, 1.0)
        return Window(float(self.low * keep_low), float(1.0 - (1.0 - self.high) * keep_high))


FULL = Window(0.0, 1.0)


def measure_window(values: NDArray[np.float32]) -> Window:
    """Return the window from the 0.5th to the 99.5th percentile of an image ``[row, column]``.

    A flat image gets a window of at least 0.02 around its value, so that nothing divides by zero.
    """
    low, high = (float(value) for value in np.percentile(values, (LOW_PERCENT, HIGH_PERCENT)))
    middle, half = (low + high) / 2, max(high - low, MIN_RANGE) / 2
    return Window(middle - half, middle + half)
