"""Ways to make a good radiograph worse: like the DRR of a chest CT, by bicubic shrinking, or not at all."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

KINDS = ("physics", "bicubic", "identity")
BAND_SIGMA_PX = 12.0
BASE_LEVEL = 0.5


@dataclass(frozen=True)
class Degradation:
    """All drawn numbers of one degradation; replay from these, not from a seed.

    Pixels are of 0.42 mm (1024 px on 430 mm). Gains are of the film's bands: finer than 12 px, 12-40 px, 40-120 px,
    coarser. A DRR of a CT has, against a processed film, more coarse contrast and much less fine contrast.
    """

    kind: str = "identity"
    sigma_x_px: float = 0.0
    sigma_y_px: float = 0.0
    slice_px: float = 0.0
    gains: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    curve: str = "none"
    steepness: float = 1.0
    contrast: float = 1.0
    veil: float = 0.0
    correlated_noise: float = 0.0
    white_noise: float = 0.0
    noise_sigma_px: float = 1.5
    shrink_x: float = 1.0
    shrink_y: float = 1.0
    enlarge: str = "bilinear"
    noise_seed: int = 0


def draw_degradation(rng: np.random.Generator, kind: str | None = None) -> Degradation:
    """Draw one degradation; without ``kind`` 70 % are physics, 20 % bicubic, 10 % identity."""
    kind = kind or str(rng.choice(KINDS, p=(0.7, 0.2, 0.1)))
    seed = int(rng.integers(2**31))
    white = float(rng.uniform(0.0, 0.008)) if rng.random() < 0.5 else 0.0
    if kind == "identity":
        return Degradation(kind=kind, white_noise=white if rng.random() < 0.5 else 0.0, noise_seed=seed)
    if kind == "bicubic":
        shrink = float(rng.uniform(2.0, 4.0))
        return Degradation(
            kind=kind, shrink_x=shrink, shrink_y=shrink, enlarge="bicubic", white_noise=white, noise_seed=seed
        )
    return _draw_physics(rng, white, seed)


def _draw_physics(rng: np.random.Generator, white: float, seed: int) -> Degradation:
    sigma = float(rng.uniform(0.8, 2.5))
    middle = float(rng.uniform(0.6, 1.5))
    gains = (
        min(1.05, middle * float(rng.uniform(0.45, 1.0))), middle, float(rng.uniform(0.75, 1.5)),
        float(rng.uniform(0.8, 1.2)),
    )  # fmt: skip
    contrast = float(rng.uniform(0.6, 1.0))
    stairs = rng.random() < 0.2
    curve = "sigmoid" if rng.random() < 0.6 else "gamma"
    steepness = rng.uniform(1.0, 5.0) if curve == "sigmoid" else np.exp(rng.uniform(np.log(0.6), np.log(1.6)))
    return Degradation(
        kind="physics", sigma_x_px=sigma, sigma_y_px=sigma * float(rng.uniform(0.8, 1.2)),
        slice_px=float(np.exp(rng.uniform(np.log(2.4), np.log(19.0)))), gains=gains, curve=curve,
        steepness=float(steepness), contrast=contrast, veil=float(rng.uniform(0.0, 1.0 - contrast)),
        correlated_noise=float(rng.uniform(0.0, 0.006)) if rng.random() < 0.5 else 0.0, white_noise=white,
        noise_sigma_px=float(rng.uniform(0.8, 2.5)), noise_seed=seed,
        shrink_x=float(rng.uniform(1.5, 2.5)) if stairs else 1.0,
        shrink_y=float(rng.uniform(1.5, 6.0)) if stairs else 1.0,
        enlarge="nearest" if stairs and rng.random() < 0.3 else "bilinear",
    )  # fmt: skip


def degrade(stack: Tensor, how: Degradation) -> Tensor:
    """Return the degraded copy of a film, float32 ``[row, column]`` in display values 0..1.

    Parameters
    ----------
    stack
        Film and its two smooth bases, float ``[3, row, column]``, as of ``stack_film`` (whole or a crop).
    how
        The drawn numbers.
    """
    image = filter_bands(stack.float(), how)
    image = resample(image, how)
    image = apply_tone(image, how)
    return add_noise(image, how)


def filter_bands(stack: Tensor, how: Degradation) -> Tensor:
    """Blur and re-weight the bands by one transfer function in the frequency domain (mirror-padded)."""
    image, fine_base, coarse_base = stack
    if how.kind != "physics":
        return image
    margin = min(32, image.shape[0] - 1, image.shape[1] - 1)
    padded = functional.pad(image[None, None], (margin,) * 4, mode="reflect")[0, 0]
    height, width = padded.shape
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    fine, middle, coarse, base = how.gains
    low = torch.exp(-2 * (torch.pi * BAND_SIGMA_PX) ** 2 * (fx**2 + fy**2))
    blur = torch.exp(-2 * torch.pi**2 * ((how.sigma_x_px * fx) ** 2 + (how.sigma_y_px * fy) ** 2))
    transfer = (fine + (middle - fine) * low) * blur * torch.sinc(how.slice_px * fy)
    filtered = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=(height, width))
    filtered = filtered[margin : height - margin, margin : width - margin]
    return filtered + (coarse - middle) * fine_base + (base - coarse) * coarse_base + (1 - base) * BASE_LEVEL


def resample(image: Tensor, how: Degradation) -> Tensor:
    """Shrink (with antialiasing) and enlarge again: bicubic pairs, or the stair-steps of voxels."""
    if how.shrink_x == 1.0 and how.shrink_y == 1.0:
        return image
    size = image.shape
    small = (max(8, round(size[0] / how.shrink_y)), max(8, round(size[1] / how.shrink_x)))
    kind = "bicubic" if how.enlarge == "bicubic" else "bilinear"
    shrunk = functional.interpolate(image[None, None], size=small, mode=kind, antialias=True, align_corners=False)
    if how.enlarge == "nearest":
        return functional.interpolate(shrunk, size=size, mode="nearest")[0, 0]
    return functional.interpolate(shrunk, size=size, mode=how.enlarge, align_corners=False)[0, 0]


def apply_tone(image: Tensor, how: Degradation) -> Tensor:
    """Apply the display curve, then loss of contrast and a veil."""
    if how.curve == "sigmoid":
        image = torch.sigmoid(how.steepness * (image - 0.5))
    elif how.curve == "gamma":
        image = (0.1 + 0.8 * image).clamp(1e-4, 1.0) ** how.steepness
    return how.veil + how.contrast * image


def add_noise(image: Tensor, how: Degradation) -> Tensor:
    """Add white and Gaussian-correlated noise; levels are fractions of the contrast left."""
    if how.white_noise == 0.0 and how.correlated_noise == 0.0:
        return image.clamp(0.0, 1.0)
    generator = torch.Generator().manual_seed(how.noise_seed)
    height, width = image.shape
    white = torch.randn(height, width, generator=generator)
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    shape = torch.exp(-2 * (torch.pi * how.noise_sigma_px) ** 2 * (fx**2 + fy**2))
    # A Gaussian filter of this width lowers the deviation of white noise by 2 sqrt(pi) sigma.
    gain = how.correlated_noise * 2 * np.pi**0.5 * how.noise_sigma_px
    other = torch.randn(height, width, generator=generator)
    correlated = torch.fft.irfft2(torch.fft.rfft2(other) * shape, s=(height, width)) * gain
    return (image + how.contrast * (how.white_noise * white + correlated)).clamp(0.0, 1.0)
