"""The network over whole images: in tiles, in batches, in the precision asked for."""

from dataclasses import dataclass

import torch
from torch import Tensor

from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tiles import cut_tiles, join_tiles


@dataclass(frozen=True, eq=False)
class Denoiser:
    """What the sampler calls; the condition and the nodule map stay the same through all steps.

    Tiles are joined after every call, not after the last: so neighbours see one noisy image and cannot drift apart, and
    only the network's own memory is bounded by the tile, which is nearly all of it.

    Attributes
    ----------
    condition
        Images to restore in -1..1, float32 ``[batch, 1, H, W]``, H and W multiples of the network's grid.
    nodules
        Map of known nodules in 0..1, same shape, or none.
    """

    restorer: Restorer
    settings: RestoreCxrSettings
    condition: Tensor
    nodules: Tensor | None = None

    def __call__(self, noisy: Tensor, t: Tensor) -> Tensor:
        """Return v, float32 ``[batch, 1, H, W]``, of noisy values of that shape at time steps ``[batch]``."""
        maps = [noisy, self.condition] + ([] if self.nodules is None else [self.nodules])
        tile, overlap = self.settings.tile_px, self.settings.overlap_px
        tiles = cut_tiles(noisy.shape[-2], noisy.shape[-1], tile, overlap, self.restorer.network.multiple)
        parts = (self._call([values[..., rows, columns] for values in maps], t) for rows, columns in tiles)
        with torch.inference_mode(), self._precision():
            return join_tiles(parts, tiles, noisy, overlap)

    def _precision(self) -> torch.autocast:
        brief = self.settings.precision == "bfloat16"
        return torch.autocast(self.restorer.device.type, torch.bfloat16, enabled=brief)

    def _call(self, maps: list[Tensor], t: Tensor) -> Tensor:
        size = self.settings.batch_size
        chunks = [slice(start, start + size) for start in range(0, len(t), size)]
        parts = [self._network([values[chunk] for values in maps], t[chunk]) for chunk in chunks]
        return torch.cat(parts)

    def _network(self, maps: list[Tensor], t: Tensor) -> Tensor:
        noisy, condition, *nodules = (values.contiguous() for values in maps)
        return self.restorer.network(noisy, condition, t, *nodules).float()
