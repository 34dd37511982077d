"""A network of the size that the DiffusionXRay paper runs, to be timed; never trained, never used to restore.

Written from its description (Goyal et al. 2025 on Cheff, Weber et al. 2023): a U-Net of base width 16 with multipliers
1, 2, 4, 8, 16, 32, 32, 32 on 8 scales, two residual blocks a scale, linear attention on the four coarsest scales, full
attention in the middle, 4 x 4 strided and transposed convolutions between scales. What the description leaves open is
as in the DDPM U-Net (Ho et al. 2020): group norm, SiLU, the time added after a linear layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from drrx.nets.unet import embed_time

BASE, MULTIPLIERS, NUM_ATTENTIVE = 16, (1, 2, 4, 8, 16, 32, 32, 32), 4
NUM_STEPS = 2000
PARAMETERS, GFLOP = 91.4e6, 217.0
"""What the paper's own configuration comes to: parameters, and GFLOP of one call at 1024 x 1024."""
HEADS, HEAD = 4, 32
GROUPS = 8
EMBEDDING = 4 * BASE


class PaperUnet(nn.Module):
    """Noise predicted from the noisy image and the image to restore, both ``[batch, 1, H, W]``, H and W of 128 px."""

    def __init__(self) -> None:
        super().__init__()
        widths = [BASE * m for m in MULTIPLIERS]
        self.time = nn.Sequential(nn.Linear(BASE, EMBEDDING), nn.GELU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.enter = nn.Conv2d(2, BASE, 7, padding=3)
        attentive = [scale >= len(widths) - NUM_ATTENTIVE for scale in range(len(widths))]
        before = [BASE, *widths[:-1]]
        self.down = nn.ModuleList(_Scale(i, o, o, a) for i, o, a in zip(before, widths, attentive, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 4, 2, 1) for width in widths[:-1])
        self.middle = nn.ModuleList([_Block(widths[-1], widths[-1]), _Block(widths[-1], widths[-1])])
        self.attend = _Attention(widths[-1], linear=False)
        steps = list(zip(before, widths, attentive, strict=True))[:0:-1]
        self.up = nn.ModuleList(_Scale(2 * wide, narrow, narrow, a) for narrow, wide, a in steps)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(narrow, narrow, 4, 2, 1) for narrow, _, _ in steps)
        self.leave = _Block(2 * BASE, BASE)
        self.last = nn.Conv2d(BASE, 1, 1)

    def forward(self, noisy: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """Return ``[batch, 1, H, W]``."""
        embedding = self.time(embed_time(t, BASE))
        first = x = self.enter(torch.cat([noisy, condition], dim=1))
        skips = []
        for scale, layer in enumerate(self.down):
            x = layer(x, embedding)
            skips.append(x)
            x = self.shrink[scale](x) if scale < len(self.shrink) else x
        x = self.middle[1](self.attend(self.middle[0](x, embedding)), embedding)
        for layer, grow in zip(self.up, self.grow, strict=True):
            x = grow(layer(torch.cat([x, skips.pop()], dim=1), embedding))
        return self.last(self.leave(torch.cat([x, first], dim=1), embedding))


class _Scale(nn.Module):
    """Two residual blocks and, on coarse scales, linear attention."""

    def __init__(self, channels_in: int, channels: int, channels_out: int, attentive: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(channels_in, channels), _Block(channels, channels_out)])
        self.attend = _Attention(channels_out, linear=True) if attentive else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding)
        return self.attend(x)


class _Block(nn.Module):
    """Residual block of two convolutions; the time is added between them."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(channels_in, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, channels) for _ in range(2))
        self.time = nn.Linear(EMBEDDING, channels)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = functional.silu(self.norms[0](self.one(x))) + self.time(functional.silu(embedding))[:, :, None, None]
        return functional.silu(self.norms[1](self.two(hidden))) + self.skip(x)


class _Attention(nn.Module):
    """Residual attention over all pixels: full, or linear in their number (Shen et al. 2021, efficient attention)."""

    def __init__(self, channels: int, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.norm = nn.GroupNorm(1, channels)
        self.enter = nn.Conv2d(channels, 3 * HEADS * HEAD, 1, bias=False)
        self.leave = nn.Conv2d(HEADS * HEAD, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        q, k, v = self.enter(self.norm(x)).reshape(batch, 3, HEADS, HEAD, height * width).unbind(1)
        if self.linear:
            context = k.softmax(dim=-1) @ v.transpose(-1, -2)
            found = context.transpose(-1, -2) @ (q.softmax(dim=-2) * HEAD**-0.5)
        else:
            weights = (q.transpose(-1, -2) @ k * HEAD**-0.5).softmax(dim=-1)
            found = v @ weights.transpose(-1, -2)
        return x + self.leave(found.reshape(batch, HEADS * HEAD, height, width))
