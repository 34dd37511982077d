"""Crops for MUNIT-LQ: two unpaired domains on one grid, at half resolution, about the middle of the chest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.errors import DrrxError
from drrx.train.munit_settings import TrainMunitLqSettings

MAX_DRAWS = 50


@dataclass(frozen=True, eq=False)
class Images:
    """One domain: images at half resolution, float16 ``[row, column]`` in 0..1, and their shares of the draws."""

    images: Sequence[Tensor]
    weights: NDArray[np.float64]


def halve(values: NDArray[np.float32]) -> Tensor:
    """Return an image shrunk by 2 with antialiasing; sides round up, so that none is lost. Float32."""
    size = [(side + 1) // 2 for side in values.shape]
    image = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    return functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)[0, 0]


def draw_crops(domain: Images, rng: np.random.Generator, settings: TrainMunitLqSettings) -> Tensor:
    """Return the crops of one step, float32 ``[batch, 1, crop, crop]`` in -1..1."""
    crops = [draw_crop(domain, rng, settings) for _ in range(settings.batch_size)]
    return 2 * torch.stack(crops)[:, None] - 1


def draw_crop(domain: Images, rng: np.random.Generator, settings: TrainMunitLqSettings) -> Tensor:
    """Draw one crop about an image's middle, shifted, scaled and mirrored at random; float32 in 0..1.

    A nearly constant crop (a black border) is drawn again: its instance norm would divide by nothing.

    Raises
    ------
    DrrxError
        Every one of many draws was constant.
    """
    for _ in range(MAX_DRAWS):
        image = domain.images[int(rng.choice(len(domain.images), p=domain.weights))]
        crop = _cut(image, rng, settings)
        if float(crop.std()) >= settings.min_deviation:
            return crop
    raise DrrxError(
        where="crops for MUNIT-LQ", found=f"{MAX_DRAWS} crops with standard deviation below {settings.min_deviation}",
        needed="images with contrast in their middle", hint="Look at the images, or lower --min-deviation.",
    )  # fmt: skip


def _cut(image: Tensor, rng: np.random.Generator, settings: TrainMunitLqSettings) -> Tensor:
    size = settings.crop_px
    side = round(size / (1 + float(rng.uniform(-1, 1)) * settings.scale_jitter))
    side = min(side, *image.shape)
    top, left = (_start(extent, side, settings.shift_share, rng) for extent in image.shape)
    part = image[top : top + side, left : left + side].float()
    if side != size:
        part = functional.interpolate(
            part[None, None], size=(size, size), mode="bicubic", antialias=True, align_corners=False
        )[0, 0].clamp(0, 1)
    return part.flip(-1) if rng.random() < 0.5 else part


def _start(extent: int, side: int, share: float, rng: np.random.Generator) -> int:
    middle = (extent - side) / 2 + float(rng.uniform(-1, 1)) * share * extent
    return int(np.clip(round(middle), 0, extent - side))


def middle_crop(image: Tensor, size: int) -> Tensor:
    """Return the middle of an image, at most ``size`` px, sides multiples of 16, ``[1, 1, row, column]`` in -1..1."""
    sides = [min(size, extent) // 16 * 16 for extent in image.shape]
    top, left = ((extent - side) // 2 for extent, side in zip(image.shape, sides, strict=True))
    return 2 * image[None, None, top : top + sides[0], left : left + sides[1]].float() - 1
