"""Ways to make a good radiograph worse: like the DRR of a chest CT, by bicubic shrinking, or not at all."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

KINDS = ("physics", "bicubic", "identity")
BASE_LEVEL = 0.5


@dataclass(frozen=True)
class Degradation:
    """All drawn numbers of one degradation; replay from these, not from a seed.

    Pixels are of 0.42 mm (1024 px on 430 mm). Gains are of the film's bands: finer than ``band_px``, to 40 px, to
    120 px, coarser. A film is processed: faint detail is amplified and strong edges are held back. The DRR of a CT
    is not. In the lungs of DRRs of LIDC CTs, detail of 1-4 px has 0.2-0.5 of the films' strength and detail of 4-12 px
    0.5-0.7, while their strong edges have all of it and structures over 40 px have 1.2-1.4. So faint fine detail is
    made fainter: an amplitude d is multiplied by ``faint + (1 - faint) d^2 / (d^2 + knee^2)``.
    """

    kind: str = "identity"
    sigma_x_px: float = 0.0
    sigma_y_px: float = 0.0
    slice_px: float = 0.0
    band_px: float = 12.0
    gains: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    faint: float = 1.0
    knee: float = 0.04
    curve: str = "none"
    steepness: float = 1.0
    middle: float = 0.5
    contrast: float = 1.0
    veil: float = 0.0
    correlated_noise: float = 0.0
    white_noise: float = 0.0
    noise_sigma_px: float = 1.5
    shrink_x: float = 1.0
    shrink_y: float = 1.0
    enlarge: str = "bilinear"
    noise_seed: int = 0


def draw_degradation(rng: np.random.Generator, kind: str) -> Degradation:
    """Draw one degradation of a kind."""
    seed = int(rng.integers(2**31))
    white = float(rng.uniform(0.0, 0.005)) if rng.random() < 0.5 else 0.0
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
    gains = (middle * float(rng.uniform(0.5, 1.1)), middle, float(rng.uniform(0.75, 1.5)), float(rng.uniform(0.8, 1.2)))
    contrast = float(rng.uniform(0.6, 1.0))
    stairs = rng.random() < 0.2
    curve = "sigmoid" if rng.random() < 0.6 else "gamma"
    steepness = rng.uniform(1.0, 5.0) if curve == "sigmoid" else np.exp(rng.uniform(np.log(0.7), np.log(2.0)))
    return Degradation(
        kind="physics", sigma_x_px=sigma, sigma_y_px=sigma * float(rng.uniform(0.8, 1.2)),
        slice_px=float(np.exp(rng.uniform(np.log(2.4), np.log(19.0)))), band_px=float(rng.uniform(6.0, 16.0)),
        gains=gains, faint=float(rng.uniform(0.2, 0.9)), knee=float(rng.uniform(0.02, 0.06)), curve=curve,
        steepness=float(steepness), middle=float(rng.uniform(0.4, 0.65)), contrast=contrast,
        veil=float(rng.uniform(0.0, 1.0 - contrast)),
        correlated_noise=float(rng.uniform(0.0, 0.004)) if rng.random() < 0.5 else 0.0, white_noise=white,
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
    """Blur, re-weight the bands and weaken faint detail; filters act in the frequency domain, mirror-padded."""
    image, fine_base, coarse_base = stack
    if how.kind != "physics":
        return image
    margin = min(32, image.shape[0] - 1, image.shape[1] - 1)
    padded = functional.pad(image[None, None], (margin,) * 4, mode="reflect")[0, 0]
    height, width = padded.shape
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    fine, middle, coarse, base = how.gains
    low = torch.exp(-2 * (torch.pi * how.band_px) ** 2 * (fx**2 + fy**2))
    blur = torch.exp(-2 * torch.pi**2 * ((how.sigma_x_px * fx) ** 2 + (how.sigma_y_px * fy) ** 2))
    spectrum = torch.fft.rfft2(padded) * blur * torch.sinc(how.slice_px * fy)
    smooth = torch.fft.irfft2(spectrum * low, s=(height, width))
    detail = torch.fft.irfft2(spectrum * (1 - low), s=(height, width))
    detail = detail * (how.faint + (1 - how.faint) * detail**2 / (detail**2 + how.knee**2))
    filtered = (fine * detail + middle * smooth)[margin : height - margin, margin : width - margin]
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
        image = torch.sigmoid(how.steepness * (image - how.middle))
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
