"""Training crops: a film's crop with made nodules, and its degraded, windowed copy."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from drrx.pairs.degrade import Degradation, apply_tone, degrade, draw_degradation
from drrx.pairs.films import PIXEL_MM

MARGIN_PX = 24


@dataclass(frozen=True)
class Crop:
    """A pair in windowed values: ``clean``, ``degraded`` and the nodules' ``mask``, float32 ``[row, column]``."""

    clean: Tensor
    degraded: Tensor
    mask: Tensor


def draw_crop(stack: Tensor, rng: np.random.Generator, size_px: int, nodule_share: float, kind: str) -> Crop:
    """Draw one crop of ``size_px``, degraded by formula, from a film's stack ``[3, row, column]`` (``stack_film``)."""
    how = draw_degradation(rng, kind)
    part = _cut(stack, rng, size_px + 2 * MARGIN_PX)
    mask = torch.zeros_like(part[0])
    if rng.random() < nodule_share:
        blobs, mask = draw_blobs(part.shape[-1], rng)
        part[0] = part[0] + blobs
    low, high = window_of_degraded(stack, how)
    worse = _shake_window((degrade(part, how) - low) / (high - low), rng)
    inner = slice(MARGIN_PX, MARGIN_PX + size_px)
    return Crop(part[0][inner, inner], worse[inner, inner], mask[inner, inner])


def cut_crop(pair: Tensor, rng: np.random.Generator, size_px: int) -> Crop:
    """Draw one crop of ``size_px`` from a ready pair, ``[3, row, column]`` of film, windowed LQ copy and mask."""
    film, worse, mask = _cut(pair, rng, size_px)
    return Crop(film, _shake_window(worse, rng), mask.clamp(0, 1))


def _shake_window(values: Tensor, rng: np.random.Generator) -> Tensor:
    """A display window never fits exactly: the air around the patient and a tube in view shift the percentiles."""
    low, high = rng.normal(0, 0.02), 1 + rng.normal(0, 0.02)
    return (values - low) / (high - low)


def _cut(stack: Tensor, rng: np.random.Generator, size: int) -> Tensor:
    scale = float(rng.uniform(0.85, 1.15)) if rng.random() < 0.5 else 1.0
    side = min(round(size / scale), *stack.shape[1:])
    top, left = (int(rng.integers(extent - side + 1)) for extent in stack.shape[1:])
    part = stack[:, top : top + side, left : left + side].float()
    if side != size:
        part = functional.interpolate(part[None], size=(size, size), mode="bicubic", align_corners=False)[0]
    return part.flip(-1) if rng.random() < 0.5 else part.clone()


def draw_blobs(size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return one or two soft nodules (see ``add_blobs``) and their mask, ``[size, size]``."""
    return add_blobs((size, size), int(rng.integers(1, 3)), rng)


def add_blobs(shape: tuple[int, int], number: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return ``number`` soft nodules, 6-30 mm wide, 1-10 % of the window, and their mask, each of ``shape``."""
    total, mask = torch.zeros(shape), torch.zeros(shape)
    line = [torch.arange(extent, dtype=torch.float32) for extent in shape]
    for _ in range(number):
        radius = float(np.exp(rng.uniform(np.log(3.0), np.log(15.0)))) / PIXEL_MM
        row, column = (rng.uniform(MARGIN_PX, extent - MARGIN_PX) for extent in shape)
        stretch, angle = float(rng.uniform(0.8, 1.25)), float(rng.uniform(0, np.pi))
        contrast = float(np.exp(rng.uniform(np.log(0.01), np.log(0.10))))
        dy, dx = line[0][:, None] - float(row), line[1][None] - float(column)
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        distance = torch.sqrt((along * stretch) ** 2 + (across / stretch) ** 2) / radius
        # The path through a ball, with a rim softened over about a pixel.
        total += contrast * torch.sqrt(functional.softplus((1 - distance**2) * radius / 2) * 2 / radius).clamp(0, 1.1)
        mask = torch.maximum(mask, (distance < 1.2).float())
    return total, mask


def window_of_degraded(stack: Tensor, how: Degradation) -> tuple[float, float]:
    """Return the percentile window that the whole degraded film would have, from an 8 times thinned copy."""
    small = stack[:, 4::8, 4::8].float()
    image, fine_base, coarse_base = small
    if how.kind == "physics":
        _, middle, coarse, base = how.gains
        image = middle * image + (coarse - middle) * fine_base + (base - coarse) * coarse_base + (1 - base) * 0.5
    low, high = np.percentile(apply_tone(image, how).clamp(0, 1).numpy(), (0.5, 99.5))
    return float(low), float(max(high, low + 0.02))
