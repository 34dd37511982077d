"""Noise schedule with zero terminal SNR, on diffusers' schedulers, and the three ways to name a prediction.

Forward process: ``noisy = sqrt(a) clean + sqrt(1 - a) noise`` with ``a`` = ``alphas_cumprod[t]``;
``v = sqrt(a) noise - sqrt(1 - a) clean`` (Salimans and Ho, "Progressive distillation", 2022, appendix D).
"""

from typing import Any, Literal

import torch
from torch import Tensor

from drrx.nets.unet import NUM_STEPS

__all__ = [
    "NUM_STEPS",
    "Solver",
    "clean_from_v",
    "make_alphas",
    "make_betas",
    "make_scheduler",
    "noise_from_v",
    "to_noisy",
    "to_v",
]

Solver = Literal["ddim", "dpmpp"]


def make_alphas(snr_shift: float = 1.0) -> Tensor:
    """Return ``alphas_cumprod``, float64 ``[1000]``: cosine, zero terminal SNR, shifted.

    Cosine: Nichol and Dhariwal 2021, equation 17. Zero terminal SNR: Lin et al. 2023, algorithm 1. Shift: the SNR is
    divided by ``snr_shift``, ``a -> a / (k + (1 - k) a)``.
    """
    t = torch.arange(NUM_STEPS + 1, dtype=torch.float64) / NUM_STEPS
    level = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
    root = (level[1:] / level[0]).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alphas = root**2
    return alphas / (snr_shift + (1 - snr_shift) * alphas)


def make_betas(alphas: Tensor) -> Tensor:
    """Return the betas whose cumulative products are ``alphas``; the last one is 1 at zero terminal SNR."""
    before = torch.cat([torch.ones(1, dtype=alphas.dtype), alphas[:-1]])
    return 1 - alphas / before


def make_scheduler(solver: Solver, steps: int, snr_shift: float) -> Any:
    """Return a diffusers scheduler set to ``steps`` trailing time steps: DDIM (eta 0) or DPM-Solver++ 2M."""
    import diffusers  # slow to import

    common: dict[str, Any] = {
        "num_train_timesteps": NUM_STEPS, "trained_betas": make_betas(make_alphas(snr_shift)).tolist(),
        "prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True,
    }  # fmt: skip
    if solver == "ddim":
        scheduler: Any = diffusers.DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=True)  # type: ignore[no-untyped-call]
    else:
        scheduler = diffusers.DPMSolverMultistepScheduler(  # type: ignore[no-untyped-call]
            **common, algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True, final_sigmas_type="zero"
        )
    scheduler.set_timesteps(steps)
    return scheduler


def to_noisy(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Return the noisy value at level ``alpha`` (broadcast)."""
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise


def to_v(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Return the target v at level ``alpha`` (broadcast)."""
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean


def clean_from_v(noisy: Tensor, v: Tensor, alpha: Tensor) -> Tensor:
    """Return the clean value that v stands for; at ``alpha`` 0 it is ``-v``."""
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * v


def noise_from_v(noisy: Tensor, v: Tensor, alpha: Tensor) -> Tensor:
    """Return the noise that v stands for."""
    return (1 - alpha).sqrt() * noisy + alpha.sqrt() * v
