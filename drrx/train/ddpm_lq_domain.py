"""The DRRs that DDPM-LQ learns from, and how views, maps and crops are drawn of them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.pairs.domain import DrrRow, load_drr
from drrx.pairs.films import PIXEL_MM
from drrx.pairs.structure import TONES, StructureMap, ToneCurve, disguise
from drrx.seeds import make_rng, make_seed
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings

HALF_MM = 2 * PIXEL_MM
FLAT = ToneCurve((0.0,) * len(TONES))


@dataclasses.dataclass(frozen=True)
class Domain:
    """DRRs at half resolution, windowed to 0..1, their shares of the draws, display windows, and tones given maps."""

    images: tuple[NDArray[np.float16], ...]
    shares: NDArray[np.float64]
    windows: tuple[tuple[float, float], ...]
    curve: ToneCurve = FLAT

    def draw_view(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw a DRR, mirrored or not, zoomed, and framed like a film: a DRR's body may fill half of its width."""
        image = torch.from_numpy(self.images[rng.choice(len(self.images), p=self.shares)].astype(np.float32))
        height, width = (round(extent * rng.uniform(0.62, 1.0)) for extent in image.shape)
        top, left = (round(rng.uniform(0, a - b)) for a, b in zip(image.shape, (height, width), strict=True))
        part = image[top : top + height, left : left + width]
        size = [round(extent * zoom) for extent, zoom in zip(part.shape, [rng.uniform(0.85, 1.25)] * 2, strict=True)]
        view = functional.interpolate(part[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
        return (view.flip(-1) if rng.random() < 0.5 else view).clamp(0, 1).numpy()


def load_domain(rows: Sequence[DrrRow], settings: TrainDdpmLqSettings) -> Domain:
    """Load DRRs on the grid of 0.84 mm, and fit their tone curve."""
    loaded = [load_drr(row, HALF_MM) for row in rows]
    shares = np.array([row.weight for row in rows])
    windows = tuple((round(window.low, 4), round(window.high, 4)) for _, window in loaded)
    domain = Domain(tuple(image.astype(np.float16) for image, _ in loaded), shares / shares.sum(), windows)
    images, maps = draw_batch(domain, -2, dataclasses.replace(settings, batch_size=settings.scale_crops))
    return dataclasses.replace(domain, curve=ToneCurve.fit(list(images[:, 0].numpy()), list(maps[:, 0].numpy())))


def draw_batch(domain: Domain, step: int, settings: TrainDdpmLqSettings) -> tuple[Tensor, Tensor]:
    """Draw the DRR crops of one step and their maps, ``[batch, 1, crop, crop]``, from its number alone.

    A crop is the DRR in -1..1 less what the tone curve foretells. A map is made on the whole disguised view before
    crops are cut: its ranks are those of the whole image.
    """
    rng = make_rng(make_seed(settings.seed, "views", str(step)))
    how = make_structure(settings)
    images: list[NDArray[np.float32]] = []
    maps: list[NDArray[np.float32]] = []
    while len(images) < settings.batch_size:
        view = domain.draw_view(rng)
        whole = how.make(disguise(view, rng))
        pair = np.stack([2 * view - 1 - domain.curve.apply(whole), whole])
        short = [max(0, settings.crop_px - extent) for extent in view.shape]
        pair = np.pad(pair, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")
        for _ in range(min(settings.crops_per_view, settings.batch_size - len(images))):
            top, left = (int(rng.integers(extent - settings.crop_px + 1)) for extent in pair.shape[1:])
            image, structure = pair[:, top : top + settings.crop_px, left : left + settings.crop_px]
            images.append(image)
            maps.append(structure)
    order = rng.permutation(len(images))  # the first of a batch are at pure noise: not always those of one view
    return torch.from_numpy(np.stack(images)[order])[:, None], torch.from_numpy(np.stack(maps)[order])[:, None]


def make_structure(settings: TrainDdpmLqSettings) -> StructureMap:
    """Return the structure map of a run."""
    return StructureMap(tone=settings.tone, detail=settings.detail)
