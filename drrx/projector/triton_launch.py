"""Lays jobs out in tables for the Triton kernel and launches it, once for all jobs of a kind."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate

import numpy as np
import torch
import triton.language as tl
from numpy.typing import NDArray

from drrx.projector.device_job import DeviceJob
from drrx.projector.triton_kernel import project_tiles

if not hasattr(tl, "tuple"):
    raise ImportError("needs Triton 3.3 or newer: the channels of a voxel are a tuple")

DTYPES = {torch.int16: tl.int16, torch.uint8: tl.uint8, torch.float32: tl.float32}
#: Rows and columns of a tile, and warps. By slices a thread has 8 rows of 4 columns: a line of voxels serves 8 rows,
#: and the sums of five channels (160) still fit its registers; one warp waits for nobody. By rays a thread has 2
#: pixels, and it takes more threads to hide the loads.
SLICES_TILE, RAYS_TILE = (8, 128, 1), (8, 32, 4)
#: One image has too few tiles to fill a large GPU (132 processors with 8 to 16 warps of that size each): slabs are
#: shared out as long as there are fewer programs than this, in at most as many shares as that.
ENOUGH_PROGRAMS, MAX_SHARES = 4096, 4


def project_with_triton(jobs: Sequence[DeviceJob]) -> list[torch.Tensor]:
    """Project ``jobs``: one launch for all that have the same dtype, channels and kind of view.

    Returns
    -------
    For each job float32 ``[channel, row, column]`` on its device.
    """
    kinds: dict[tuple, list[int]] = {}
    for position, job in enumerate(jobs):
        kind = job.values.dtype, len(job.bounds), job.num_masks, job.is_separable
        kinds.setdefault(kind, []).append(position)
    images: dict[int, torch.Tensor] = {}
    for positions in kinds.values():
        images.update(zip(positions, launch([jobs[position] for position in positions]), strict=True))
    return [images[position] for position in range(len(jobs))]


def launch(jobs: Sequence[DeviceJob]) -> list[torch.Tensor]:
    """Project jobs of one kind in one launch; the shares of a tile's slabs are added in a fixed order."""
    first = jobs[0]
    device = first.values.device
    num_rows, num_columns, num_warps = SLICES_TILE if first.is_separable else RAYS_TILE
    sizes = [job.num_channels * job.shape[0] * job.shape[1] for job in jobs]
    *offsets, total = accumulate(sizes, initial=0)
    tiles = np.concatenate([_make_tiles(i, job.shape, num_rows, num_columns) for i, job in enumerate(jobs)])
    num_shares = min(max(ENOUGH_PROGRAMS // len(tiles), 1), MAX_SHARES)
    sums = torch.empty((num_shares, total), device=device)
    tables = [tiles, np.array([_list_integers(*pair) for pair in zip(jobs, offsets, strict=True)], np.int64)]
    tables += [np.stack([_list_floats(job) for job in jobs])]
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        project_tiles[(len(tiles), num_shares)](
            sums, total, *(torch.from_numpy(np.ascontiguousarray(table)).to(device) for table in tables),
            dtype=DTYPES[first.values.dtype], num_bands=len(first.bounds), num_masks=first.num_masks,
            is_separable=first.is_separable, tile_rows=num_rows, tile_columns=num_columns,
            num_warps=num_warps, enable_fp_fusion=True,
        )  # fmt: skip
    image = sums.sum(dim=0) if num_shares > 1 else sums[0]
    return [part.view(-1, *job.shape) for part, job in zip(torch.split(image, sizes), jobs, strict=True)]


def _make_tiles(job: int, shape: tuple[int, int], num_rows: int, num_columns: int) -> NDArray[np.int32]:
    """One program each: ``(job, first row, first column)``."""
    corners = np.mgrid[0 : shape[0] : num_rows, 0 : shape[1] : num_columns].reshape(2, -1).T
    return np.insert(corners, 0, job, axis=1).astype(np.int32)


def _list_integers(job: DeviceJob, offset: int) -> list[int]:
    bits = job.values if job.bits is None else job.bits  # never read without masks
    stride_a, stride_n, _ = job.values.stride()
    return [job.values.data_ptr(), bits.data_ptr(), *job.values.shape, stride_a, stride_n, offset, *job.shape]


def _list_floats(job: DeviceJob) -> NDArray[np.float64]:
    lines = np.stack([job.source, job.ray00, job.row_step, job.column_step], axis=1)  # of each axis
    metric = job.metric_mm2[[0, 1, 2, 0, 1, 0], [0, 1, 2, 1, 2, 2]]  # aa, nn, bb, an, nb, ab
    return np.concatenate([lines.ravel(), metric, job.bounds.ravel()])
