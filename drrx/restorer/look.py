"""What a twin's restoration hands on to its variants, so that they differ by the nodules alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from drrx.pairs.window import FULL, Window
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tone import IDENTITY, Tone, fit_tone

SMALL_SIGMA_PX = 8.0
"""The low band lives on a grid so coarse that its Gaussian is still this wide there."""


@dataclass(frozen=True, eq=False)
class Look:
    """Tone window, tone curve and low band of one restoration.

    Attributes
    ----------
    window
        From display values of the input to the network's.
    shown
        The window in which the result is shown.
    tone
        What became of the low band's tones.
    base
        The input's low band, windowed values, float32 ``[row, column]`` on a coarse grid.
    correction
        What is added to the network's change to keep the low band's structures, the same grid.
    """

    window: Window
    shown: Window
    tone: Tone
    base: NDArray[np.float32]
    correction: NDArray[np.float32]

    def gain(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return by how much a faint change of the input's display values is multiplied, float32 ``[row, column]``."""
        ratio = (self.shown.high - self.shown.low) / (self.window.high - self.window.low)
        return (ratio * enlarge(self.tone.slope(self.base), shape)[0, 0]).numpy()

    def to_json(self) -> dict[str, Any]:
        """Return window and tone curve."""
        return {
            "window": [self.window.low, self.window.high], "shown": [self.shown.low, self.shown.high],
            "tone_curve": {"inputs": list(self.tone.inputs), "outputs": list(self.tone.outputs)},
        }  # fmt: skip


def make_look(values: Tensor, change: Tensor, window: Window, settings: RestoreCxrSettings) -> Look:
    """Return the look of an image, windowed ``values`` and the network's ``change`` of them, ``[1, 1, H, W]``.

    The low band is made to agree with that of the *whole* input after the tone curve, not with the curve of the input's
    low band: the two differ at strong edges, and the body would get a halo.
    """
    before, after = (_shrink(x, settings.lock_sigma_px) for x in (values, values + change))
    tone = IDENTITY if settings.low_band == "input" else fit_tone(before, after)
    wrong = np.zeros_like(before) if settings.low_band == "free" else tone.apply(before) - after
    sigmas = [settings.lock_sigma_px * few / many for few, many in zip(before.shape, values.shape[-2:], strict=True)]
    base, correction = (np.asarray(ndimage.gaussian_filter(x, sigmas, mode="nearest")) for x in (before, wrong))
    shown = {"open": window.opened(), "full": FULL, "input": window}[settings.tone]
    return Look(window, shown, tone, base, correction)


def _shrink(values: Tensor, sigma_px: float) -> NDArray[np.float32]:
    """Return ``[1, 1, H, W]`` on the coarse grid of the low band, float32 ``[row, column]``."""
    factor = max(1.0, sigma_px / SMALL_SIGMA_PX)
    height, width = (max(2, round(extent / factor)) for extent in values.shape[-2:])
    return functional.adaptive_avg_pool2d(values, (height, width))[0, 0].numpy()


def enlarge(values: NDArray[np.float32], size: tuple[int, ...]) -> Tensor:
    """Return a smooth field ``[row, column]`` on the grid of an image, ``[1, 1, *size]``."""
    field = torch.from_numpy(values)[None, None]
    return functional.interpolate(field, size=tuple(size[-2:]), mode="bicubic", align_corners=False)
