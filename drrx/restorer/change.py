"""What the network changes: film minus input, sampled for images of one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from drrx.diffusion.sample import draw_noise, sample_mean, sample_residual
from drrx.nets.unet import pad_reflect
from drrx.restorer.denoiser import Denoiser
from drrx.restorer.grain import weigh_grain
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings

SHIFT_PX = 2
"""Half a block of the two-level Haar packet."""
MEAN_KERNEL = (-1 / 16, 4 / 16, 10 / 16, 4 / 16, -1 / 16)
GRAIN_KERNEL = (1 / 4, 2 / 4, 1 / 4)
"""Haar blocks leave a faint grid of 2 and 4 px. Both filters are zero at a period of 2 px; at one of 4 px they leave
3/4 and 1/2 a direction. The mean's is flat below, to keep edges; grain has none to keep."""


@dataclass(frozen=True, eq=False)
class Change:
    """Film minus input, float32 ``[batch, 1, H, W]`` on the CPU, in windowed values.

    Attributes
    ----------
    mean
        What every film of that input shares: the posterior mean.
    grain
        What one plausible film adds to it, as much as the mode asks for; zero in mode ``mean``.
    """

    mean: Tensor
    grain: Tensor

    @property
    def total(self) -> Tensor:
        """Both together."""
        return self.mean + self.grain


def find_change(
    values: Tensor, restorer: Restorer, settings: RestoreCxrSettings, seeds: Sequence[int],
    nodules: Tensor | None = None,
) -> Change:  # fmt: skip
    """Return what the network changes.

    Parameters
    ----------
    values
        Windowed values, 0..1, ``[batch, 1, H, W]``, on the network's 0.42 mm grid.
    restorer, settings
        The network and how it is used.
    seeds
        One per image: of the noise field that covers it whole, whatever its tiles and its company.
    nodules
        Map of known nodules in 0..1, same shape; needs weights that know of nodules.
    """
    height, width = values.shape[-2:]
    grid = restorer.network.multiple
    maps = [2 * values - 1] + ([] if nodules is None else [nodules])
    maps = [pad_reflect(x, (0, -width % grid, 0, -height % grid)).to(restorer.device) for x in maps]
    noise = draw_noise(seeds, *maps[0].shape[-2:]).to(restorer.device)
    shifts = (0, SHIFT_PX) if settings.quality == "high" else (0,)
    parts = [_shifted(restorer, settings, noise, maps, shift) for shift in shifts]
    mean, grain = (torch.stack(part).mean(dim=0)[..., :height, :width] for part in zip(*parts, strict=True))
    return Change(mean, grain)


def _shifted(
    restorer: Restorer, settings: RestoreCxrSettings, noise: Tensor, maps: Sequence[Tensor], shift: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return mean and grain, found on everything shifted against the grid of the Haar blocks.

    The scaled residual itself has that grid, so that the whole sampling is shifted, not single calls.
    """
    noise, *maps = (torch.roll(values, (shift, shift), (-2, -1)) for values in (noise, *maps))
    scaled = _sample(Denoiser(restorer, settings, *maps), noise, settings)
    mean, *sample = [restorer.scale.unscale(x).cpu() / 2 for x in scaled]
    grain = _weigh(smooth(sample[0] - mean, GRAIN_KERNEL), settings) if sample else torch.zeros_like(mean)
    back = (-shift, -shift)
    return torch.roll(smooth(mean, MEAN_KERNEL), back, (-2, -1)), torch.roll(grain, back, (-2, -1))


def _sample(denoise: Denoiser, noise: Tensor, settings: RestoreCxrSettings) -> tuple[Tensor, ...]:
    if settings.mode == "mean":
        return (sample_mean(denoise, noise),)
    shift = denoise.restorer.snr_shift
    return sample_residual(denoise, noise, solver=settings.solver, steps=settings.steps, snr_shift=shift)


def _weigh(grain: Tensor, settings: RestoreCxrSettings) -> Tensor:
    """Return the share of sample minus mean that the mode adds to the mean."""
    if settings.mode == "sample":
        return grain
    weighed = [torch.from_numpy(weigh_grain(x[0].numpy(), settings.grain))[None] for x in grain]
    return settings.alpha * torch.stack(weighed)


def smooth(values: Tensor, kernel: Sequence[float]) -> Tensor:
    """Filter rows and columns of ``[batch, 1, H, W]`` with a symmetric kernel, mirrored at the border."""
    rows = ndimage.correlate1d(values.numpy(), kernel, axis=-2, mode="mirror")
    return torch.from_numpy(ndimage.correlate1d(rows, kernel, axis=-1, mode="mirror"))
