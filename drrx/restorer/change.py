"""What the network changes: film minus input, sampled for images of one size."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drrx.diffusion.sample import draw_noise, sample_mean, sample_residual
from drrx.nets.unet import pad_reflect
from drrx.restorer.denoiser import Denoiser
from drrx.restorer.grain import weigh_grain
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings


def find_change(
    values: Tensor, restorer: Restorer, settings: RestoreCxrSettings, seeds: Sequence[int],
    nodules: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return film minus input, float32 ``[batch, 1, H, W]`` on the CPU, in windowed values.

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
    scaled = _sample(Denoiser(restorer, settings, *maps), noise, settings)
    mean, *sample = [restorer.scale.unscale(x)[..., :height, :width].cpu() / 2 for x in scaled]
    return _blend(mean, sample[0], settings) if sample else mean


def _sample(denoise: Denoiser, noise: Tensor, settings: RestoreCxrSettings) -> tuple[Tensor, ...]:
    if settings.mode == "mean":
        return (sample_mean(denoise, noise),)
    shift = denoise.restorer.snr_shift
    return sample_residual(denoise, noise, solver=settings.solver, steps=settings.steps, snr_shift=shift)


def _blend(mean: Tensor, sample: Tensor, settings: RestoreCxrSettings) -> Tensor:
    if settings.mode == "sample":
        return sample
    grain = [torch.from_numpy(weigh_grain(x[0].numpy(), settings.grain))[None] for x in sample - mean]
    return mean + settings.alpha * torch.stack(grain)
