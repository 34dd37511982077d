"""Cut an image in overlapping tiles and join them smoothly."""

from collections.abc import Iterable

import torch
from torch import Tensor

Tile = tuple[slice, slice]


def cut_tiles(height: int, width: int, tile_px: int, overlap_px: int, grid: int) -> list[Tile]:
    """Return rows and columns of tiles that cover the image; neighbours share at least ``overlap_px``.

    Tiles are at most ``tile_px`` wide, and as small as their number allows. They begin on multiples of ``grid``,
    the network's coarsest, so that they see the same grid as the whole.
    """
    rows, columns = (_cut_line(extent, tile_px, overlap_px, grid) for extent in (height, width))
    return [(row, column) for row in rows for column in columns]


def _cut_line(extent: int, tile: int, overlap: int, grid: int) -> list[slice]:
    if extent <= tile:
        return [slice(0, extent)]
    number = -(-(extent - overlap) // max(grid, (tile - overlap) // grid * grid))
    stride = -(-(extent - overlap) // (number * grid)) * grid
    return [slice(start, min(extent, start + stride + overlap)) for start in range(0, extent - overlap, stride)]


def join_tiles(parts: Iterable[Tensor], tiles: list[Tile], like: Tensor, overlap_px: int) -> Tensor:
    """Return the tiles' mean, weighted by Hann ramps, a tensor ``[batch, 1, H, W]`` like ``like``.

    A ramp takes the middle half of an overlap: a tile's rim, where the network lacks its surroundings, does not count.
    Parts are taken one by one, so that no more than one need be in memory.
    """
    height, width = like.shape[-2:]
    total, weight = torch.zeros_like(like), torch.zeros_like(like[:1])
    for part, (rows, columns) in zip(parts, tiles, strict=True):
        share = _ramp(rows, height, overlap_px)[:, None] * _ramp(columns, width, overlap_px)[None]
        total[..., rows, columns] += part * share.to(part)
        weight[..., rows, columns] += share.to(part)
    return total / weight


def _ramp(span: slice, extent: int, overlap: int) -> Tensor:
    index = torch.arange(span.stop - span.start, dtype=torch.float32)
    rising = torch.ones_like(index) if span.start == 0 else _rise(index, overlap)
    falling = torch.ones_like(index) if span.stop == extent else _rise(index.flip(0), overlap)
    return torch.sin(torch.pi / 2 * torch.minimum(rising, falling)) ** 2


def _rise(index: Tensor, overlap: int) -> Tensor:
    return ((index + 0.5 - overlap / 4) / (overlap / 2)).clamp(0.0, 1.0)
