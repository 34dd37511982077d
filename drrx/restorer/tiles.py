"""Cut an image in overlapping tiles and join them smoothly."""

from collections.abc import Sequence

import torch
from torch import Tensor

Tile = tuple[slice, slice]
GRID = 32
"""Tiles begin on multiples of this (the network's coarsest grid), so that they see the same grid as the whole."""


def cut_tiles(height: int, width: int, tile_px: int, overlap_px: int) -> list[Tile]:
    """Return rows and columns of tiles that cover the image; neighbours share at least ``overlap_px``."""
    rows, columns = (_cut_line(extent, tile_px, overlap_px) for extent in (height, width))
    return [(row, column) for row in rows for column in columns]


def _cut_line(extent: int, tile: int, overlap: int) -> list[slice]:
    if extent <= tile:
        return [slice(0, extent)]
    stride = max(GRID, (tile - overlap) // GRID * GRID)
    starts = [start for start in range(0, extent, stride) if start == 0 or start + overlap < extent]
    return [slice(start, min(extent, start + tile)) for start in starts]


def join_tiles(parts: Sequence[Tensor], tiles: Sequence[Tile], height: int, width: int, overlap_px: int) -> Tensor:
    """Return ``[1, 1, H, W]``: the tiles' mean, weighted by Hann ramps over their overlaps."""
    if len(parts) == 1:
        return parts[0]
    total, weight = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    for part, (rows, columns) in zip(parts, tiles, strict=True):
        share = _ramp(rows, height, overlap_px)[:, None] * _ramp(columns, width, overlap_px)[None]
        total[..., rows, columns] += part * share
        weight[..., rows, columns] += share
    return total / weight


def _ramp(span: slice, extent: int, overlap: int) -> Tensor:
    index = torch.arange(span.stop - span.start, dtype=torch.float32)
    rising = torch.ones_like(index) if span.start == 0 else ((index + 0.5) / overlap).clamp(max=1.0)
    falling = torch.ones_like(index) if span.stop == extent else ((len(index) - index - 0.5) / overlap).clamp(max=1.0)
    return torch.sin(torch.pi / 2 * torch.minimum(rising, falling)) ** 2
