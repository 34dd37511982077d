"""The tone curve of a restoration: what it did to the tones of structures too coarse to be sharpened."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

NUM_BINS, NUM_KNOTS = 64, 9
MIN_SLOPE = 0.25
"""A curve that fell flat somewhere would hide what lies there, nodules too."""
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """A rising tone curve through knots: monotone cubic between them (Fritsch and Butland 1984), straight beyond.

    Attributes
    ----------
    inputs, outputs
        Windowed values of the knots; ``inputs`` rise, ``outputs`` with a slope of 0.25 or more.
    """

    inputs: tuple[float, ...]
    outputs: tuple[float, ...]

    @cached_property
    def _curve(self) -> Any:
        return PchipInterpolator(self.inputs, self.outputs)

    def apply(self, values: Values) -> Values:
        """Return the curve's values, float32, same shape."""
        inner = np.clip(values, self.inputs[0], self.inputs[-1])
        return np.asarray(self._curve(inner) + (values - inner) * self.slope(values), dtype=np.float32)

    def slope(self, values: Values) -> Values:
        """Return the curve's slope at ``values``, float32, same shape: the gain of a faint structure there."""
        inner = np.clip(values, self.inputs[0], self.inputs[-1])
        return np.asarray(self._curve.derivative()(inner), dtype=np.float32)


IDENTITY = Tone((0.0, 1.0), (0.0, 1.0))


def fit_tone(before: Values, after: Values) -> Tone:
    """Fit ``after ~ f(before)`` of two coarse images of one shape, windowed values, with f(0) = 0 and f(1) = 1.

    Input and film are windowed by the same percentiles, and a rising curve moves no percentile: so black and white are
    known, and a network that makes black grey, as it does where it is unsure, is not followed. Between them: medians of
    ``after`` in 64 bins of equally many pixels, so that a few strange pixels do not matter; a local straight line
    through them at each of nine even knots; then the nearest curve of slope 0.25 or more (isotonic regression of what
    is above that slope).
    """
    x, y = _bin_medians(before.ravel(), after.ravel())
    knots = np.linspace(0.0, 1.0, NUM_KNOTS)
    smooth = np.array([_fit_line(x - knot, y, knots[1]) for knot in knots])
    above = np.clip(smooth - MIN_SLOPE * knots, 0.0, 1.0 - MIN_SLOPE)
    above[[0, -1]] = 0.0, 1.0 - MIN_SLOPE
    outputs = isotonic_regression(above).x + MIN_SLOPE * knots
    return Tone(tuple(knots.tolist()), tuple(outputs.tolist()))


def _bin_medians(x: Values, y: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    groups = np.array_split(np.argsort(x, kind="stable"), NUM_BINS)
    medians = [(np.median(x[group]), np.median(y[group])) for group in groups if group.size]
    return tuple(np.array(medians, dtype=np.float64).T)


def _fit_line(x: NDArray[np.float64], y: NDArray[np.float64], step: float) -> float:
    """Return the value at 0 of a straight line through points weighted by their nearness."""
    weight = np.exp(-0.5 * (x / (0.5 * step)) ** 2) + 1e-9
    columns = np.stack([np.ones_like(x), x])
    moments = (columns * weight) @ columns.T + 1e-9 * weight.sum() * np.eye(2)
    return float(np.linalg.solve(moments, (columns * weight) @ y)[0])
