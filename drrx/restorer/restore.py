"""Restore radiographs: window, network on the 0.42 mm grid, back to the full grid and to display values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.errors import DrrxError
from drrx.io.finite import check_finite
from drrx.pairs.films import PIXEL_MM
from drrx.pairs.window import Window, measure_window
from drrx.restorer.change import Change, find_change
from drrx.restorer.look import Look, enlarge, make_look
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings

MIN_PX, MAX_PX = 64, 8192
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored image, display values float32 ``[row, column]``, and the look it was restored with."""

    image: Image
    look: Look


def restore_cxr(
    images: Sequence[Image], restorer: Restorer, settings: RestoreCxrSettings, seeds: Sequence[int], *,
    windows: Sequence[Window] | None = None,
) -> list[Image]:  # fmt: skip
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
        One per image.
    windows
        Tone window per image; measured on the image where absent.

    Returns
    -------
    list of float32 ``[row, column]``
        Restored display values in 0..1, of the images' sizes. On one machine they are bit-equal for any batch; another
        number of threads, another CPU or a ``batch_size`` above 1 changes them by less than 1e-4 in float32.

    Raises
    ------
    DrrxError
        An image has no two axes, is too small or large, or holds a value that is not finite.
    CaseFailed
        ``NON_FINITE_OUTPUT``: the network's answer is not finite.

    See Also
    --------
    drrx.restorer.twin.restore_twin : for a twin and its variants, which must share seed, window and tone.
    """
    images = [check_image(image) for image in images]
    windows = windows or [measure_window(image) for image in images]
    changes = find_changes(images, restorer, settings, seeds, windows)
    triples = zip(images, changes, windows, strict=True)
    return [finish(image, change.total, window, settings).image for image, change, window in triples]


def check_image(image: Image) -> Image:
    """Return an image as float32 ``[row, column]``, or refuse it (see ``restore_cxr``)."""
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or min(image.shape) < MIN_PX or max(image.shape) > MAX_PX or not np.isfinite(image).all():
        finite = "finite" if np.isfinite(image).all() else "with values that are not finite"
        raise DrrxError(
            where="image to restore", found=f"shape {image.shape}, {finite}",
            needed=f"[row, column], {MIN_PX} to {MAX_PX} px a side, finite display values in 0..1",
            hint="Give one grayscale radiograph.",
        )  # fmt: skip
    return image


def find_changes(
    images: Sequence[Image], restorer: Restorer, settings: RestoreCxrSettings, seeds: Sequence[int],
    windows: Sequence[Window], nodules: Image | None = None,
) -> list[Change]:  # fmt: skip
    """Return the network's change of every image, ``[1, 1, H, W]`` on the network's grid.

    ``nodules`` is one map for all images (twin and variants), which then must be of its size. Raises ``CaseFailed``
    (``NON_FINITE_OUTPUT``) where the network gives what is no number.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    thin = [_thin(window.apply(image), settings) for image, window in zip(images, windows, strict=True)]
    known = None if nodules is None else _thin(nodules, settings).clamp(0.0, 1.0)
    changes: dict[int, Change] = {}
    for group in _group([values.shape for values in thin], settings.batch_size):
        maps = None if known is None else known.expand(len(group), -1, -1, -1)
        batch = torch.cat([thin[i] for i in group])
        found = find_change(batch, restorer, settings, [seeds[i] for i in group], maps)
        # Here, because showing the image clips it, and clipped infinities look like black and white.
        check_finite(found.total.numpy(), "the network's change of an image")
        changes |= {index: Change(found.mean[i : i + 1], found.grain[i : i + 1]) for i, index in enumerate(group)}
    return [changes[i] for i in range(len(images))]


def _group(shapes: Sequence[tuple[int, ...]], size: int) -> list[list[int]]:
    """Return groups of at most ``size`` indices of equal shapes."""
    equal: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        equal.setdefault(shape, []).append(index)
    return [found[start : start + size] for found in equal.values() for start in range(0, len(found), size)]


def finish(
    image: Image, change: Tensor, window: Window, settings: RestoreCxrSettings, look: Look | None = None
) -> Restored:
    """Add the network's change to an image, keep its low band, and show it.

    The network knows structures at 0.42 mm. A finer image is thinned to that grid, restored, and the *change* is
    enlarged and added, so that the image's own finer detail stays (the finest level of a Laplacian pyramid). In the
    band coarser than ``lock_sigma_px`` only the tones may change, by one curve, not the structures (``low_band``). A
    variant gets the ``look`` of its twin: window, curve, and the very field that corrects the low band.
    """
    values = window.apply(image)
    look = look or make_look(_thin(values, settings), change, window, settings)
    corrected = change + enlarge(look.correction, change.shape)
    if corrected.shape[-2:] != image.shape:
        corrected = _resize(corrected, image.shape)
    shown = look.shown.invert(values + corrected[0, 0].numpy())
    return Restored(np.clip(shown, 0.0, 1.0), look)


def _thin(values: Image, settings: RestoreCxrSettings) -> Tensor:
    """Return an image on the network's grid, ``[1, 1, H, W]``; a coarser one stays as it is."""
    scale = min(1.0, settings.field_mm / max(values.shape) / PIXEL_MM)
    size = tuple(max(MIN_PX, round(extent * scale)) for extent in values.shape)
    whole = torch.from_numpy(values)[None, None]
    return whole if size == values.shape else _resize(whole, size)


def _resize(values: Tensor, size: Sequence[int]) -> Tensor:
    shrinks = size[0] < values.shape[-2]
    return functional.interpolate(values, size=tuple(size), mode="bicubic", antialias=shrinks, align_corners=False)
