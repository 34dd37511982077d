"""What is diffused: the residual between film and input, scaled band by band."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drrx.nets.haar import NUM_BANDS, from_haar, to_haar

WHITENING = 2.0 / 3.0


class ResidualScale:
    """Scale the residual's Haar bands, so that fine detail is not drowned by the first bit of noise.

    The coarsest band of a residual is some 30 times stronger than the finest. With one scale for all, fine detail would
    be decided in the last percent of the noise schedule, which few-step sampling jumps over. Each band is divided by
    ``own^p whole^(1 - p)`` of its own and the whole residual's deviation, with p = 2/3: most of the way to a white
    residual, but not all of it, so that film grain, which is fine too, does not take over.

    Parameters
    ----------
    deviations
        Standard deviation of each of the 16 Haar bands of ``film - input`` in -1..1 values.
    """

    def __init__(self, deviations: Sequence[float]) -> None:
        self.deviations = tuple(float(value) for value in deviations)
        own = torch.tensor(self.deviations)
        whole = own.square().mean().sqrt()
        self.bands = (own**WHITENING * whole ** (1 - WHITENING)).reshape(1, NUM_BANDS, 1, 1)

    def scale(self, residual: Tensor) -> Tensor:
        """Return the scaled residual ``[batch, 1, H, W]``; H and W are multiples of 4."""
        return from_haar(to_haar(residual) / self.bands.to(residual))

    def unscale(self, scaled: Tensor) -> Tensor:
        """Return the residual in -1..1 values; the inverse of ``scale``."""
        return from_haar(to_haar(scaled) * self.bands.to(scaled))


def measure_magnitudes(image: Tensor) -> Tensor:
    """Return the mean magnitude of each Haar band of images ``[batch, 1, H, W]``; ``[16]``."""
    return to_haar(image).abs().mean(dim=(0, 2, 3))


def measure_deviations(residual: Tensor) -> tuple[float, ...]:
    """Return the root mean square of each Haar band of residuals ``[batch, 1, H, W]``."""
    return tuple(to_haar(residual).square().mean(dim=(0, 2, 3)).sqrt().tolist())
