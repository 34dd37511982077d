"""Less at a time when a device runs out of memory."""

import dataclasses
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from drrx.restorer.settings import RestoreCxrSettings

log = logging.getLogger(__name__)
MIN_TILE_PX = 256
T = TypeVar("T")


def run_within_memory(work: Callable[[RestoreCxrSettings], T], settings: RestoreCxrSettings) -> T:
    """Return ``work(settings)``; each time the device's memory does not do, work again with less at a time.

    First the batch is halved down to one image, then the tile down to 256 px. The work must be all that has to match: a
    twin in whole images and its variant in tiles would differ away from the nodule.

    Raises
    ------
    MemoryError
        One image in the smallest tiles does not fit either.
    """
    while True:
        try:
            return work(settings)
        except torch.OutOfMemoryError as error:
            found = str(error).splitlines()[0]
        # Here the error is gone, and with it all tensors that its traceback kept alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        settings = _take_less(settings, found)
        log.warning("%s Again with batch_size %d, tile_px %d.", found, settings.batch_size, settings.tile_px)


def _take_less(settings: RestoreCxrSettings, found: str) -> RestoreCxrSettings:
    if settings.batch_size > 1:
        return dataclasses.replace(settings, batch_size=settings.batch_size // 2)
    if settings.tile_px <= MIN_TILE_PX:
        raise MemoryError(
            f"{found} One tile of {settings.tile_px} px does not fit: set device: cpu or precision: bfloat16, or free "
            "the device of other programs."
        )
    tile_px = max(MIN_TILE_PX, settings.tile_px // 2)
    return dataclasses.replace(settings, tile_px=tile_px, overlap_px=min(settings.overlap_px, tile_px // 4))
