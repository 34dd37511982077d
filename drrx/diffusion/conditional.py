"""Draw images from a conditional network: condition in, image out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.sample import draw_noise, sample_residual
from drrx.nets.haar import FACTOR
from drrx.nets.unet import HaarUnet, pad_reflect


@dataclass(frozen=True)
class ConditionalSampler:
    """A network with the scale of what it draws and its noise schedule."""

    network: HaarUnet
    scale: ResidualScale
    snr_shift: float
    device: torch.device

    def draw(self, condition: Tensor, seed: int, steps: int, alpha: float = 1.0) -> Tensor:
        """Return one image per condition, float32 ``[1, 1, H, W]`` on the CPU, by ``steps`` DDIM steps (eta 0).

        Parameters
        ----------
        condition
            Float32 ``[1, 1, H, W]``, any H and W.
        seed
            Seed of the noise; the noise of an image does not depend on its condition.
        steps
            Calls of the network.
        alpha
            Share of the sample; the rest is the posterior mean, which the first call gives for free.
        """
        height, width = condition.shape[-2:]
        padded = pad_reflect(condition, (0, -width % FACTOR, 0, -height % FACTOR)).to(self.device)
        noise = draw_noise([seed], *padded.shape[-2:]).to(self.device)

        def denoise(noisy: Tensor, t: Tensor) -> Tensor:
            with torch.inference_mode():
                return self.network(noisy, padded, t)

        mean, sample = sample_residual(denoise, noise, solver="ddim", steps=steps, snr_shift=self.snr_shift)
        return self.scale.unscale(mean + alpha * (sample - mean))[..., :height, :width].cpu()
