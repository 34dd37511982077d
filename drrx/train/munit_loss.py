"""Losses of MUNIT (ECCV 2018, section 3.2) and the structure consistency that we add to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from drrx.nets.munit import ContentEncoder, Decoder, Discriminator, StyleEncoder
from drrx.train.munit_settings import TrainMunitLqSettings

FINE_SIGMA_PX, COARSE_SIGMA_PX = 1.0, 4.0
WINDOW_PX = 32
FLAT = 1e-3


class Domain(nn.Module):
    """Encoders, decoder and discriminator of one domain."""

    def __init__(self, settings: TrainMunitLqSettings) -> None:
        super().__init__()
        self.content = ContentEncoder(settings.width, settings.blocks)
        self.style = StyleEncoder(settings.width, settings.style_size)
        self.decoder = Decoder(settings.width, settings.blocks, settings.style_size, settings.hidden, settings.refine)
        self.critic = Discriminator(settings.critic_width)


@dataclass(frozen=True, eq=False)
class Codes:
    """Images of one domain (``[batch, 1, H, W]``, -1..1) and their codes."""

    image: Tensor
    content: Tensor
    style: Tensor


def encode(domain: Domain, image: Tensor) -> Codes:
    """Return images with their codes."""
    return Codes(image, domain.content(image), domain.style(image))


def draw_styles(codes: Codes, share: float, generator: torch.Generator) -> Tensor:
    """Return styles to translate into: N(0, I) as in the paper, a ``share`` of them codes of real images.

    The codes are detached. Inference takes its styles from real images: training has to meet them.
    """
    real = torch.rand(len(codes.style), 1, generator=generator) < share
    random = torch.randn(codes.style.shape, generator=generator)
    return torch.where(real.to(codes.style.device), codes.style.detach(), random.to(codes.style.device))


def translate_losses(
    source: Domain, target: Domain, codes: Codes, drawn: Tensor, settings: TrainMunitLqSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the fakes of one direction, and its losses by name, weighted, without the adversarial one.

    Parameters
    ----------
    source, target
        The two domains.
    codes
        Images of ``source`` and their codes.
    drawn
        Styles of ``target`` to translate into, ``[batch, style_size]``; style reconstruction compares with these.
    """
    same = source.decoder(codes.content, codes.style)
    fake = target.decoder(codes.content, drawn)
    content = target.content(fake)
    back = source.decoder(content, codes.style)
    return fake, {
        "image": settings.image_weight * functional.l1_loss(same, codes.image),
        "content": settings.content_weight * functional.l1_loss(content.float(), codes.content.float()),
        "style": settings.style_weight * functional.l1_loss(target.style(fake), drawn),
        "cycle": settings.cycle_weight * functional.l1_loss(back, codes.image),
        "structure": settings.structure_weight * structure_loss(codes.image, fake),
    }


def critic_loss(critic: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """Return the least-squares loss of a discriminator: real to 1, fake to 0; sum over scales (Mao et al., 2017)."""
    reals, fakes = critic(real), critic(fake.detach())
    return _sum_to(reals, 1.0) + _sum_to(fakes, 0.0)


def fooling_loss(critic: Discriminator, fake: Tensor) -> Tensor:
    """Return the generator's side: fake to 1."""
    return _sum_to(critic(fake), 1.0)


def _sum_to(maps: Sequence[Tensor], goal: float) -> Tensor:
    return torch.stack([(scores - goal).square().mean() for scores in maps]).sum()


def structure_loss(image: Tensor, other: Tensor) -> Tensor:
    """Return 1 - correlation of the two images' bands of about 2-16 px, mean over windows of 32 px.

    Zero-mean normalised cross-correlation: a change of tone costs nothing, a moved edge or a lost nodule does. Windows
    where ``image`` holds no structure do not count.
    """
    with torch.autocast(image.device.type, enabled=False):
        a, b = (_band(values.float()) for values in (image, other))
        mean = [functional.avg_pool2d(x, WINDOW_PX, WINDOW_PX // 2) for x in (a, b, a * a, b * b, a * b)]
    variance_a, variance_b = mean[2] - mean[0] ** 2, mean[3] - mean[1] ** 2
    covariance = mean[4] - mean[0] * mean[1]
    match = covariance / (variance_a.clamp_min(1e-10) * variance_b.clamp_min(1e-10)).sqrt()
    held = (variance_a > FLAT**2).float()
    return ((1 - match) * held).sum() / held.sum().clamp_min(1.0)


def _band(image: Tensor) -> Tensor:
    return _blur(image, FINE_SIGMA_PX) - _blur(image, COARSE_SIGMA_PX)


def _blur(image: Tensor, sigma: float) -> Tensor:
    radius = int(3 * sigma)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=image.device) / sigma) ** 2)
    line = line / line.sum()
    padded = functional.pad(image, (radius,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, line[None, None, :, None]), line[None, None, None, :])
