"""The denoiser of DDPM-HQ: a small convolutional U-Net on Haar bands, for any image size.

Every norm works on one pixel's channels (as in NAFNet, Chen et al., ECCV 2022), not on a whole feature map: a map-wide
norm learns the statistics of a 256 px crop and shifts when it meets a whole image (Chu et al., "Improving image
restoration by revisiting global information aggregation", ECCV 2022). So a crop, a tile and the image agree.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from drrx.nets.haar import FACTOR, NUM_BANDS, from_haar, to_haar

NUM_STEPS = 1000
LEVEL_GAIN = 10.0
"""Brings noise levels of a condition, at most about 0.1, to the size of other features."""


class PixelNorm(nn.Module):
    """Layer norm over the channels of each pixel, for ``[batch, channel, row, column]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed features, same shape and memory format."""
        last = functional.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.weight, self.bias, 1e-5)
        return last.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Residual block: norm, SiLU, conv, FiLM by the time embedding, SiLU, zero-initialised conv."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = PixelNorm(channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * channels)
        self.norm_out = PixelNorm(channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return features ``[batch, channels, row, column]``."""
        hidden = self.norm_out(self.conv_in(functional.silu(self.norm_in(x))))
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = torch.addcmul(shift, hidden, 1 + scale)
        return self.skip(x) + self.conv_out(functional.silu(hidden))


def embed_time(t: Tensor, size: int, max_period: float = 10000.0) -> Tensor:
    """Return the sinusoidal embedding ``[batch, size]`` of time steps ``t`` (Vaswani et al., 2017, section 3.5)."""
    rates = torch.exp(-math.log(max_period) * torch.arange(size // 2, device=t.device) / (size // 2))
    angle = t.float()[:, None] * rates[None]
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class HaarUnet(nn.Module):
    """Predict v from a noisy residual and the image to restore.

    Parameters
    ----------
    widths
        Channels on the grids of 1/4, 1/8, 1/16, ... of the image.
    blocks
        Residual blocks per grid, on the way down and again on the way up.
    embedding
        Length of the time embedding.
    refine
        Channels of the last full-resolution convolution, which takes away the 4 px grid of the Haar blocks.
    guided
        Whether the network takes a map of known nodules and the noise level of its condition.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 96, 128, 192), blocks: Sequence[int] = (1, 2, 2, 2), embedding: int = 128,
        refine: int = 8, guided: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = {"widths": list(widths), "blocks": list(blocks), "embedding": embedding, "refine": refine} | {
            "guided": guided
        }
        self.condition_scale: Tensor
        self.multiple = FACTOR * 2 ** (len(widths) - 1)
        self.size = embedding
        self.time = nn.Sequential(
            nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        # Fine bands of an image are some 50 times weaker than its noise: unscaled, the network would hardly see them.
        self.register_buffer("condition_scale", torch.ones(NUM_BANDS))
        self.guided = guided
        self.enter = nn.Conv2d(2 * NUM_BANDS + guided, widths[0], 3, padding=1)
        self.level = nn.Linear(1, embedding, bias=False) if guided else None
        self.down, self.up, self.shrink, self.grow = (nn.ModuleList() for _ in range(4))
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            self.down.append(nn.ModuleList(Block(width, width, embedding) for _ in range(count)))
            if level + 1 < len(widths):
                self.shrink.append(nn.Conv2d(width, widths[level + 1], 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(widths[level + 1], width, 3, padding=1))
                # One more block takes in the skip connection.
                self.up.append(
                    nn.ModuleList(Block(2 * width if i == 0 else width, width, embedding) for i in range(count))
                )
        # No norm here: skips and shortcuts make a linear way from input to output, which keeps amplitudes. With a norm
        # before the last convolution the network stayed worse than a linear filter of 5 x 5 cells for a long time.
        self.leave = nn.Conv2d(widths[0], NUM_BANDS, 3, padding=1)
        self.refine = nn.Sequential(nn.Conv2d(3, refine, 3, padding=1), nn.SiLU(), nn.Conv2d(refine, 1, 3, padding=1))
        # The shortcuts are linear in the features and the task changes with t: so their two ends are steered by t.
        self.film_in, self.film_out = (nn.Linear(embedding, 2 * widths[0]) for _ in range(2))
        for last in (self.film_in, self.film_out, self.leave, self.refine[-1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        if self.level is not None:
            nn.init.zeros_(self.level.weight)

    def forward(
        self, noisy: Tensor, condition: Tensor, t: Tensor, nodules: Tensor | None = None, level: Tensor | None = None
    ) -> Tensor:
        """Return v, ``[batch, 1, H, W]``.

        Parameters
        ----------
        noisy
            The noisy scaled residual, float ``[batch, 1, H, W]``, any H and W.
        condition
            The image to restore in -1..1, same shape.
        t
            Time steps, ``[batch]``, 0..999.
        nodules
            Soft map of known nodules in 0..1, same shape; none where nothing is known. A network that is not guided
            leaves it out, and ``level`` too.
        level
            Standard deviation of noise added to the condition, ``[batch]``; none for no noise (Ho et al., "Cascaded
            diffusion models", 2022, conditioning augmentation).
        """
        height, width = noisy.shape[-2:]
        nodules = torch.zeros_like(condition) if nodules is None else nodules
        pad = (0, -width % self.multiple, 0, -height % self.multiple)
        if any(pad):
            noisy, condition, nodules = (pad_reflect(image, pad) for image in (noisy, condition, nodules))
        # Pure noise tells nothing: it fades from the input as t goes to its end, where v does not depend on it at all.
        noisy = noisy * torch.cos(torch.pi / 2 * (t.float() + 1) / NUM_STEPS)[:, None, None, None]
        inputs = [to_haar(noisy), to_haar(condition) / self.condition_scale[:, None, None]]
        embedding = self.time(embed_time(t, self.size))
        if self.level is not None:
            inputs.append(functional.avg_pool2d(nodules, FACTOR))
            level = torch.zeros(len(t), device=t.device) if level is None else level
            embedding = embedding + self.level(LEVEL_GAIN * level[:, None])
        v = from_haar(self.bands(torch.cat(inputs, dim=1), embedding))
        v = v + self.refine(torch.cat([v, noisy.to(v.dtype), condition.to(v.dtype)], dim=1))
        return v[..., :height, :width]

    def bands(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return v as Haar bands ``[batch, 16, H/4, W/4]`` from all inputs on that grid."""
        x = x.contiguous(memory_format=torch.channels_last)
        x, skips = self._modulate(self.enter(x), self.film_in(embedding)), []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, embedding)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            x = self.grow[level](functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = torch.cat([x, skips[level]], dim=1)
            for block in self.up[level]:  # type: ignore[attr-defined]
                x = block(x, embedding)
        return self.leave(self._modulate(x, self.film_out(embedding)))

    @staticmethod
    def _modulate(x: Tensor, film: Tensor) -> Tensor:
        scale, shift = film[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


def pad_reflect(image: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """Pad right and bottom by mirror images; more than the image holds is padded by repeating the edge."""
    _, right, _, bottom = pad
    mirror = (0, min(right, image.shape[-1] - 1), 0, min(bottom, image.shape[-2] - 1))
    image = functional.pad(image, mirror, mode="reflect")
    return functional.pad(image, (0, right - mirror[1], 0, bottom - mirror[3]), mode="replicate")


def count_flops(model: HaarUnet, height: int, width: int) -> float:
    """Return the floating-point operations (2 per multiply-add) of one call's convolutions on one image."""
    total, hooks = 0.0, []

    def add(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        total += 2.0 * weight[0].numel() * output.numel()  # type: ignore[index]

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(add))
    with torch.no_grad():
        image = torch.zeros(1, 1, height, width)
        model(image, image, torch.zeros(1))
    for hook in hooks:
        hook.remove()
    return total
