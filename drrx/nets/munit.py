"""The networks of MUNIT-LQ: content and style encoders, AdaIN decoder and patch discriminators, one gray channel.

Written from Huang, Liu, Belongie and Kautz, "Multimodal unsupervised image-to-image translation", ECCV 2018. Kept: the
split into a spatial content code without style (instance norm) and eight style numbers (no norm, global average), AdaIN
residual blocks steered by an MLP, least-squares patch discriminators on two scales. Changed, so that one CPU core can
train it in half an hour:

- Images enter and leave as one-level Haar bands, in place of 7x7 convolutions on the full grid.
- No layer norm while the decoder enlarges: without one, amplitudes pass straight to the output.
- The output is linear, not tanh: air in a radiograph is exactly black, which tanh only nears.
- Instance statistics of a whole image are not those of a training crop. ``Moments.share`` takes them from the image's
  middle, as large as the crops were, so that the tone of a crop and of the whole image agree.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_BANDS = 4
EPSILON = 1e-5
# Fine bands of a radiograph are some twenty times weaker than its smooth band: unscaled they would hardly be seen.
BAND_SCALES = (0.5, 4.0, 4.0, 4.0)


def _band_kernel(like: Tensor, scales: Sequence[float]) -> Tensor:
    line = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2.0**0.5
    kernel = torch.einsum("ai,bj->abij", line, line).reshape(NUM_BANDS, 1, 2, 2)
    return (kernel * torch.tensor(scales)[:, None, None, None]).to(like)


def to_bands(image: Tensor) -> Tensor:
    """Return scaled Haar bands ``[batch, 4, H/2, W/2]`` of images ``[batch, 1, H, W]``, H and W even."""
    bands = functional.conv2d(image, _band_kernel(image, BAND_SCALES), stride=2)
    return bands.contiguous(memory_format=torch.channels_last)


def from_bands(bands: Tensor) -> Tensor:
    """Return the images of scaled bands: the inverse of ``to_bands``."""
    return functional.conv_transpose2d(bands, _band_kernel(bands, [1 / scale for scale in BAND_SCALES]), stride=2)


class _Whiten(torch.autograd.Function):
    """Mean 0 and deviation 1 per image and channel. Same as autograd's, in a third of the time on a CPU.

    With whitened w of n pixels and deviation d, the gradient is ``(g - mean(g) - w * mean(g * w)) / d``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the whitened features, float32 inside, the type of ``x`` outside."""
        centred = x.float() - x.float().mean(dim=(2, 3), keepdim=True)
        factor = torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + EPSILON)
        white = centred.mul_(factor).to(x.dtype)
        ctx.save_for_backward(white, factor)
        return white

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient by ``x``."""
        white, factor = ctx.saved_tensors
        g, w = gradient.float(), white.float()
        along = (g * w).mean(dim=(2, 3), keepdim=True)
        return (g - g.mean(dim=(2, 3), keepdim=True)).addcmul_(w, -along).mul_(factor).to(gradient.dtype)


class Moments(nn.Module):
    """Norm to given means and deviations per channel: ``scale * (x - mean(x)) / deviation(x) + shift``.

    With scale 1 and shift 0 this is instance norm; with those of a style it is AdaIN (equation 8 of the paper).
    ``share`` is the part of the rows and columns, about the middle, from which mean and deviation are taken (in
    float32); below 1 it is for inference.
    """

    share: float = 1.0

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return the normed features; ``x`` is ``[batch, channel, row, column]``, the others ``[batch, channel]``."""
        white: Tensor = _Whiten.apply(x) if self.share == 1.0 else self._whiten_by_middle(x)  # type: ignore[no-untyped-call]
        if scale is None or shift is None:
            return white
        scale, shift = (values.to(x.dtype)[:, :, None, None] for values in (scale, shift))
        return torch.addcmul(shift, white, scale)

    def _whiten_by_middle(self, x: Tensor) -> Tensor:
        cuts = [round(size * (1 - self.share) / 2) for size in x.shape[2:]]
        middle = x[:, :, cuts[0] : x.shape[2] - cuts[0], cuts[1] : x.shape[3] - cuts[1]].float()
        variance, mean = torch.var_mean(middle, dim=(2, 3), keepdim=True, correction=0)
        return ((x.float() - mean) * torch.rsqrt(variance + EPSILON)).to(x.dtype)


def conv(channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that mirrors the image at its border (``kernel`` 3 or 4; 4 with stride 2)."""
    layer = nn.Conv2d(channels_in, channels, kernel, stride, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Block(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus its input; the norms take scales and shifts or none."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second, self.norm = conv(channels, channels), conv(channels, channels), Moments()

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Return ``x`` changed; ``style`` is ``[batch, 4, channel]``: scale and shift of both norms."""
        one, two = ((), ()) if style is None else (style[:, :2].unbind(1), style[:, 2:].unbind(1))
        hidden = functional.relu(self.norm(self.first(x), *one))
        return x + self.norm(self.second(hidden), *two)


class ContentEncoder(nn.Module):
    """Image ``[batch, 1, H, W]`` to content code ``[batch, 4 * width, H/4, W/4]``; H and W are multiples of 4."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = conv(NUM_BANDS, 2 * width)
        self.shrink = conv(2 * width, 4 * width, kernel=4, stride=2)
        self.norm = Moments()
        self.blocks = nn.ModuleList(Block(4 * width) for _ in range(blocks))

    def forward(self, image: Tensor) -> Tensor:
        """Return the content code."""
        x = functional.relu(self.norm(self.enter(to_bands(image))))
        x = functional.relu(self.norm(self.shrink(x)))
        for block in self.blocks:
            x = block(x)
        return x


class StyleEncoder(nn.Module):
    """Image ``[batch, 1, H, W]`` to style code ``[batch, size]``. No norm: it would take the style away."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.enter = conv(NUM_BANDS, width)
        self.shrink = nn.ModuleList(conv(a, b, kernel=4, stride=2) for a, b in pairwise(widths))
        self.leave = nn.Linear(4 * width, size)

    def forward(self, image: Tensor) -> Tensor:
        """Return the style code, float32."""
        x = functional.relu(self.enter(to_bands(image)))
        for layer in self.shrink:
            x = functional.relu(layer(x))
        with torch.autocast(x.device.type, enabled=False):
            return self.leave(x.float().mean(dim=(2, 3)))


class Decoder(nn.Module):
    """Content and style codes to an image ``[batch, 1, H, W]``, float32, about -1..1."""

    def __init__(self, width: int, blocks: int, style_size: int, hidden: int, refine: int) -> None:
        super().__init__()
        self.shape = (blocks, 4, 4 * width)
        self.style = nn.Sequential(
            nn.Linear(style_size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, blocks * 4 * 4 * width),
        )  # fmt: skip
        self.blocks = nn.ModuleList(Block(4 * width) for _ in range(blocks))
        self.grow = conv(4 * width, 2 * width)
        self.leave = conv(2 * width, NUM_BANDS)
        # The last layers work on the full grid: they take away the 2 px cells of the bands.
        self.refine = nn.Sequential(conv(1, refine), nn.ReLU(), conv(refine, 1))
        nn.init.zeros_(self.refine[-1].weight)  # type: ignore[arg-type]
        nn.init.normal_(self.leave.weight, std=0.02)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the image; ``style`` is ``[batch, style_size]``."""
        steer = self.style(style).unflatten(1, self.shape)
        steer = steer + torch.tensor([1.0, 0.0, 1.0, 0.0], device=steer.device)[:, None]
        x = content
        for index, block in enumerate(self.blocks):
            x = block(x, steer[:, index])
        x = functional.relu(self.grow(functional.interpolate(x, scale_factor=2.0, mode="nearest")))
        # bfloat16 has 8 bits: gray steps would be seen.
        with torch.autocast(x.device.type, enabled=False):
            image = from_bands(self.leave(x.float()))
            return image + self.refine(image)


class Discriminator(nn.Module):
    """Least-squares patch discriminators on the image and on its half; a score sees 28 px of its scale.

    So they judge blur, tone and texture, not where a patient's arms are.
    """

    def __init__(self, width: int, scales: int = 2) -> None:
        super().__init__()
        widths = (NUM_BANDS, width, 2 * width, 4 * width)
        kernels = ((3, 1), (4, 2), (4, 2))
        self.scales = nn.ModuleList(
            nn.ModuleList(
                conv(a, b, *how) for a, b, how in zip(widths[:-1], widths[1:], kernels, strict=True)
            )
            for _ in range(scales)
        )  # fmt: skip
        self.scores = nn.ModuleList(nn.Conv2d(4 * width, 1, 1) for _ in range(scales))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one map of scores per scale, float32 ``[batch, 1, row, column]``."""
        maps = []
        for layers, score in zip(self.scales, self.scores, strict=True):
            x = to_bands(image)
            for layer in layers:  # type: ignore[attr-defined]
                x = functional.leaky_relu(layer(x), 0.2)
            maps.append(score(x).float())
            image = functional.avg_pool2d(image, 2)
        return maps


class Translator(nn.Module):
    """What inference needs: the content encoder of one domain and the decoder of the other.

    Any image size; statistics come from a square in the middle as large as the training crops.
    """

    def __init__(self, width: int, blocks: int, style_size: int, hidden: int, refine: int, crop_px: int) -> None:
        super().__init__()
        self.crop_px = crop_px
        self.content = ContentEncoder(width, blocks)
        self.decoder = Decoder(width, blocks, style_size, hidden, refine)

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Return ``image`` (``[batch, 1, row, column]``, -1..1) in the other domain and in ``style``."""
        rows, columns = image.shape[-2:]
        share = min(1.0, self.crop_px / min(rows, columns))
        for layer in self.modules():
            if isinstance(layer, Moments):
                layer.share = share
        padded = functional.pad(image, (0, -columns % 4, 0, -rows % 4), mode="replicate")
        return self.decoder(self.content(padded), style)[..., :rows, :columns]
