"""Restore radiographs: window, network on the 0.42 mm grid, back to the full grid and to display values."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.diffusion.sample import draw_noise, sample_mean, sample_residual
from drrx.errors import DrrxError
from drrx.nets.haar import FACTOR
from drrx.nets.unet import pad_reflect
from drrx.pairs.films import PIXEL_MM
from drrx.pairs.window import FULL, Window, measure_window
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tiles import cut_tiles, join_tiles

MIN_PX, MAX_PX = 64, 8192


def restore_cxr(
    images: Sequence[NDArray[np.float32]], restorer: Restorer, settings: RestoreCxrSettings, seeds: Sequence[int], *,
    windows: Sequence[Window] | None = None,
) -> list[NDArray[np.float32]]:  # fmt: skip
    """Restore radiographs; every result depends on its own image, seed and window only.

    Parameters
    ----------
    images
        Display values in 0..1, bone white, float32 ``[row, column]``, 64 to 8192 px a side, of any sizes.
    restorer
        The network, from ``load_restorer``.
    settings
        Mode, steps, tone, tiles.
    seeds
        One per image. Give a twin and its variants the same seed: then they differ by the nodule alone.
    windows
        Tone window per image; measured on the image where absent. Give a variant the window of its twin.

    Returns
    -------
    list of float32 ``[row, column]``
        Restored display values in 0..1, of the images' sizes. On one machine they are bit-equal for any batch; another
        number of threads or another CPU changes them by less than 1e-4.

    Raises
    ------
    DrrxError
        An image has no two axes, is too small or large, or holds a value that is not finite.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    windows = windows or [measure_window(_checked(image)) for image in images]
    return [
        restore_image(_checked(image), restorer, settings, seed, window)
        for image, seed, window in zip(images, seeds, windows, strict=True)
    ]


def _checked(image: NDArray[np.float32]) -> NDArray[np.float32]:
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or min(image.shape) < MIN_PX or max(image.shape) > MAX_PX or not np.isfinite(image).all():
        finite = "finite" if np.isfinite(image).all() else "with values that are not finite"
        raise DrrxError(
            where="image to restore", found=f"shape {image.shape}, {finite}",
            needed=f"[row, column], {MIN_PX} to {MAX_PX} px a side, finite display values in 0..1",
            hint="Give one grayscale radiograph.",
        )  # fmt: skip
    return image


def restore_image(
    image: NDArray[np.float32], restorer: Restorer, settings: RestoreCxrSettings, seed: int, window: Window
) -> NDArray[np.float32]:
    """Restore one image; see ``restore_cxr``.

    The network knows structures at 0.42 mm. A finer image is thinned to that grid, restored, and the *change* is
    enlarged and added, so that the image's own finer detail stays (the finest level of a Laplacian pyramid). Of the
    change, what is coarser than ``lock_sigma_px`` is left out: nothing in an image tells what its tones were before a
    display curve, so there the network can but guess towards the average film.
    """
    values = torch.from_numpy(window.apply(image))[None, None]
    scale = min(1.0, settings.field_mm / max(image.shape) / PIXEL_MM)
    size = tuple(max(MIN_PX, round(extent * scale)) for extent in image.shape)
    coarse = values if size == image.shape else _resize(values, size)
    change = restore_residual(2 * coarse - 1, restorer, settings, seed) / 2
    if settings.lock_sigma_px:
        change = change - _smooth(change, settings.lock_sigma_px)
    change = change if size == image.shape else _resize(change, image.shape)
    shown = {"open": window.opened(), "full": FULL, "input": window}[settings.tone]
    return np.clip(shown.invert((values + change)[0, 0].numpy()), 0.0, 1.0)


def restore_residual(condition: Tensor, restorer: Restorer, settings: RestoreCxrSettings, seed: int) -> Tensor:
    """Return film minus input in -1..1 values for an input ``[1, 1, H, W]``, tile by tile where it is large.

    One noise field covers the whole image and tiles cut theirs from it; each tile is sampled to its end, then tiles are
    blended. The network's reach is well below the overlap, so that neighbours agree there.
    """
    height, width = condition.shape[-2:]
    padded = pad_reflect(condition, (0, -width % FACTOR, 0, -height % FACTOR))
    noise = draw_noise([seed], padded.shape[-2], padded.shape[-1])
    tiles = cut_tiles(padded.shape[-2], padded.shape[-1], settings.tile_px, settings.overlap_px)
    parts = [
        _sample(noise[..., rows, columns], padded[..., rows, columns], restorer, settings) for rows, columns in tiles
    ]
    scaled = join_tiles(parts, tiles, padded.shape[-2], padded.shape[-1], settings.overlap_px)
    return restorer.scale.unscale(scaled)[..., :height, :width]


def _sample(noise: Tensor, condition: Tensor, restorer: Restorer, settings: RestoreCxrSettings) -> Tensor:
    noise, condition = noise.to(restorer.device), condition.to(restorer.device)

    def denoise(noisy: Tensor, t: Tensor) -> Tensor:
        return restorer.denoise(noisy, condition, t)

    if settings.mode == "mean":
        return sample_mean(denoise, noise).cpu()
    mean, sample = sample_residual(
        denoise, noise, solver=settings.solver, steps=settings.steps, snr_shift=restorer.snr_shift
    )
    alpha = 1.0 if settings.mode == "sample" else settings.alpha
    return (mean + alpha * (sample - mean)).cpu()


def _resize(values: Tensor, size: Sequence[int]) -> Tensor:
    shrinks = size[0] < values.shape[-2]
    return functional.interpolate(values, size=tuple(size), mode="bicubic", antialias=shrinks, align_corners=False)


def _smooth(values: Tensor, sigma_px: float) -> Tensor:
    from scipy import ndimage

    return torch.from_numpy(ndimage.gaussian_filter(values[0, 0].numpy(), sigma_px, mode="nearest"))[None, None]
