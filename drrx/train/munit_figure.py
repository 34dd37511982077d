"""A figure of what MUNIT-LQ makes while it is trained."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drrx.io.image import write_image
from drrx.train.munit_crops import middle_crop
from drrx.train.munit_data import MunitData
from drrx.train.munit_loss import Domain
from drrx.train.munit_settings import TrainMunitLqSettings

NUM_FILMS, NUM_STYLES = 3, 3


def write_samples(
    path: Path, films: Domain, drrs: Domain, data: MunitData, settings: TrainMunitLqSettings
) -> None:  # fmt: skip
    """Write rows of a film and its LQ copies in three real styles; below them three DRRs, each with its rebuilt copy.

    All are middle crops as large as those of the training, in windowed tones.
    """
    device = next(films.parameters()).device
    picked = np.linspace(0, len(data.bank) - 1, NUM_STYLES).round().astype(int)
    real = [middle_crop(data.bank[int(i)], settings.crop_px).to(device) for i in picked]
    rows = np.linspace(0, len(data.films.images) - 1, NUM_FILMS).round().astype(int)
    with torch.inference_mode():
        styles = [drrs.style(image) for image in real]
        sources = [middle_crop(data.films.images[int(i)], settings.crop_px).to(device) for i in rows]
        table = [[x, *(drrs.decoder(films.content(x), style) for style in styles)] for x in sources]
        rebuilt = [drrs.decoder(drrs.content(x), style) for x, style in zip(real, styles, strict=True)]
        table += [[torch.full_like(real[0], -1), *real], [torch.full_like(real[0], -1), *rebuilt]]
    size = settings.crop_px
    lines = [torch.cat([_fit(cell, size) for cell in row], dim=1) for row in table]
    write_image(path, torch.cat(lines).numpy(), bits=8)


def _fit(image: Tensor, size: int) -> Tensor:
    canvas = torch.zeros(size, size)
    rows, columns = image.shape[-2:]
    canvas[:rows, :columns] = (image[0, 0].float().cpu() + 1) / 2
    return canvas.clamp(0, 1)
