"""Sampling of the scaled residual: one call for the posterior mean, a few more for a sample."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from drrx.diffusion.schedule import NUM_STEPS, Solver, make_scheduler

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Takes noisy values ``[batch, 1, H, W]`` and time steps ``[batch]``; returns v."""


def draw_noise(seeds: Sequence[int], height: int, width: int) -> Tensor:
    """Return white noise ``[batch, 1, H, W]``, each image's from its own seed, always drawn on the CPU.

    So neither batch, order, nor device changes an image's noise.
    """
    fields = [torch.randn(1, height, width, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds]
    return torch.stack(fields)


def sample_mean(denoise: Denoiser, noise: Tensor) -> Tensor:
    """Return the posterior mean of the clean value from one call at pure noise.

    At zero SNR v is minus the clean value, and the noise tells nothing of it: the least-squares v is minus its mean.
    """
    return -denoise(noise, torch.full((len(noise),), NUM_STEPS - 1, device=noise.device))


def sample_residual(
    denoise: Denoiser, noise: Tensor, *, solver: Solver, steps: int, snr_shift: float
) -> tuple[Tensor, Tensor]:
    """Return ``(mean, sample)`` of the clean value; the first call is shared, so a sample costs ``steps`` calls.

    Deterministic given ``noise``: DDIM with eta 0 (Song et al. 2021, equation 12), or DPM-Solver++ 2M (Lu et al. 2022,
    algorithm 2; its first step is of first order, because the log of a zero SNR is not finite).
    """
    scheduler = make_scheduler(solver, steps, snr_shift)
    value, means = noise, []
    for t in scheduler.timesteps:
        v = denoise(value, torch.full((len(noise),), int(t), device=noise.device))
        means.append(-v)
        value = scheduler.step(v, t, value).prev_sample
    return means[0], value
