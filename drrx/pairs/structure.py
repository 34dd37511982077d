"""The structure map: what a radiograph and a DRR of the same anatomy have in common, and nothing else.

Frequency-guided diffusion (Li et al., IEEE TMI 2023, "Zero-shot medical image translation via frequency-guided
diffusion models") trains on one domain alone: the condition is a filtered copy of the image itself, and at run time the
same filter is applied to an image of another domain. So the filter must hide the domain. A band-pass does that, but
it also hides what is lung and what is heart. Here the tones stay, as ranks, which no monotone curve changes, and the
detail of 2-16 px stays with its local strength divided out. What still differs between domains is drawn at random in
training: see ``disguise``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Image = NDArray[np.float32]
NUM_LEVELS = 4096
THIN = 8
TONES = np.linspace(-1.0, 1.0, 17)
KNOT_WAVELENGTHS_PX = (2.0, 4.0, 8.0, 16.0, 48.0, 150.0)


@dataclass(frozen=True)
class StructureMap:
    """How a map is made; pixels are those of the image given (0.84 mm for DDPM-LQ).

    ``fine_px`` and ``coarse_px`` are the Gaussian deviations that bound the detail, ``window_px`` is that of the window
    in which its strength is measured: wide, so that a nodule hardly weakens its neighbours. ``tone`` and ``detail`` are
    the parts' gains; with ``tone`` 0 the map is a pure band-pass.
    """

    fine_px: float = 1.0
    coarse_px: float = 8.0
    window_px: float = 48.0
    tone: float = 1.0
    detail: float = 0.2

    def make(self, image: Image) -> Image:
        """Return the map of a whole image, float32 ``[row, column]``, about -1..1."""
        ranks = equalise(_smooth(image, self.fine_px))
        tones = _smooth(ranks, self.coarse_px)
        return (self.tone * (2 * tones - 1) + self.detail * self._even(ranks - tones)).astype(np.float32)

    def _even(self, band: Image) -> Image:
        """Divide a band by its local strength; the edge of the body counts as no more than a strong rib."""
        usual = float(np.sqrt(np.mean(np.minimum(band**2, 9 * np.mean(band**2))))) + 1e-6
        strength = np.sqrt(_smooth_wide(np.minimum(band**2, 9 * usual**2), self.window_px))
        even = band / (strength + 0.3 * usual)
        return np.asarray(even / np.sqrt(1 + (even / 4) ** 2), dtype=np.float32)


@dataclass(frozen=True)
class ToneCurve:
    """The mean DRR value, -1..1, at evenly spaced tones of a map: what a map's smooth part alone foretells.

    DDPM-LQ draws the difference to it, which is some three times weaker than a DRR, and so is what noise its samples
    keep. It depends on the smooth part of the map only, so it lets nothing past the map.
    """

    values: tuple[float, ...]
    sigma_px: float = 8.0

    def apply(self, structure: Image) -> Image:
        """Return the foretold DRR of a whole map, float32 ``[row, column]``, smooth."""
        return np.interp(_smooth(structure, self.sigma_px), TONES, self.values).astype(np.float32)

    @classmethod
    def fit(cls, images: Sequence[Image], maps: Sequence[Image]) -> "ToneCurve":
        """Return the curve of DRRs (-1..1) and their maps, ``[row, column]`` each."""
        tones = np.concatenate([_smooth(structure, cls.sigma_px).ravel() for structure in maps])
        values = np.concatenate([image.ravel() for image in images])
        nearest = np.abs(tones[:, None] - TONES).argmin(axis=1)
        counts = np.bincount(nearest, minlength=len(TONES))
        sums, met = np.bincount(nearest, values, len(TONES)), counts > 0
        means = np.interp(TONES, TONES[met], sums[met] / counts[met])
        return cls(tuple(float(mean) for mean in means.round(4)))


def equalise(image: Image) -> Image:
    """Return the share of the image's pixels that are darker than each pixel, 0..1: monotone curves change nothing."""
    counts, edges = np.histogram(image[::2, ::2], NUM_LEVELS)
    darker = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    place = (image - edges[0]) * (NUM_LEVELS / (edges[-1] - edges[0]))
    level = np.clip(place, 0, NUM_LEVELS - 1).astype(np.int32)
    rise = np.clip(place - level, 0, 1)
    return (darker[level] * (1 - rise) + darker[level + 1] * rise).astype(np.float32)


def disguise(image: Image, rng: np.random.Generator) -> Image:
    """Return a DRR as if another device had made it: tone curve, shading, strength of every octave, noise.

    A film has 1-3 times the fine detail of a DRR and 0.5-0.9 of its coarsest contrasts, which the octaves' gains cover.
    """
    power = np.exp(rng.uniform(np.log(0.6), np.log(1.7)))
    steep = rng.uniform(0.1, 3.0)
    curve = np.tanh(steep * (np.clip(image, 0, 1) ** power - rng.uniform(0.3, 0.7))) / np.tanh(steep / 2)
    shaded = 0.5 + curve / 2 + rng.uniform(0, 0.12) * _draw_shading(image.shape, rng)
    grainy = _scale_octaves(shaded.astype(np.float32), _draw_gains(rng))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * (0.02 * rng.random() ** 2)
    return grainy + (_smooth(noise, rng.uniform(0.3, 1.2)) if rng.random() < 0.5 else noise)


def _draw_gains(rng: np.random.Generator) -> Image:
    """Draw the gains at ``KNOT_WAVELENGTHS_PX``: more for fine detail, less for the coarsest, each on its own."""
    rise = rng.uniform(0.0, 0.9)
    trend = rise * np.array([1.0, 1.0, 0.7, 0.3, 0.0, -0.3])
    return np.exp(trend + rng.normal(0, [0.3, 0.25, 0.2, 0.2, 0.15, 0.15])).astype(np.float32)


def _scale_octaves(image: Image, gains: Image) -> Image:
    margin = min(32, *(extent - 1 for extent in image.shape))
    padded = functional.pad(torch.from_numpy(image)[None, None], (margin,) * 4, mode="reflect")[0, 0]
    height, width = padded.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    octave = np.log(np.maximum(frequency, 1e-3))
    curve = np.interp(octave, -np.log(KNOT_WAVELENGTHS_PX)[::-1], np.log(gains)[::-1])
    curve[0, 0] = 0.0
    spectrum = torch.fft.rfft2(padded) * torch.from_numpy(np.exp(curve).astype(np.float32))
    scaled = torch.fft.irfft2(spectrum, s=(height, width))
    return scaled[margin : height - margin, margin : width - margin].numpy()


def _draw_shading(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 4, 4), dtype=np.float32))
    return functional.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)[0, 0].numpy()


def _smooth(image: Image, sigma_px: float) -> Image:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(image, sigma_px, mode="nearest", truncate=3.0), dtype=np.float32)


def _smooth_wide(image: Image, sigma_px: float) -> Image:
    """Smooth on an 8 times thinned grid, for deviations well above 8 px."""
    size = [max(1, round(extent / THIN)) for extent in image.shape]
    full = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None]
    small = functional.interpolate(full, size=size, mode="bilinear", antialias=True)[0, 0]
    smooth = torch.from_numpy(_smooth(small.numpy(), sigma_px / THIN))[None, None]
    return functional.interpolate(smooth, size=image.shape, mode="bilinear")[0, 0].numpy()
