"""The GPU kernel in plain torch, for devices that Triton does not serve: one resampling per slab of voxels."""

from collections.abc import Sequence

import torch
from torch.nn.functional import grid_sample

from drrx.projector.device_job import DeviceJob


def project_with_torch(jobs: Sequence[DeviceJob]) -> list[torch.Tensor]:
    """Project each of ``jobs``, all channels of a slab in one resampling.

    Returns
    -------
    For each job float32 ``[channel, row, column]`` on its device.
    """
    return [_project(job) for job in jobs]


def _project(job: DeviceJob) -> torch.Tensor:
    rays = [_make_ray(job, axis) for axis in range(3)]
    slope_a, slope_b = rays[0] / rays[1], rays[2] / rays[1]
    source_a, source_n, source_b = job.source.tolist()
    size = torch.tensor([job.values.shape[2], job.values.shape[0]], device=job.values.device, dtype=torch.float64)
    total = torch.zeros((job.num_channels, *job.shape), device=job.values.device)
    for n in range(job.values.shape[1]):
        slab = _make_channels(job, n)
        if not slab.any():
            continue
        step = n - source_n
        index = torch.stack([source_b + step * slope_b, source_a + step * slope_a], dim=-1)
        grid = ((2 * index + 1) / size - 1).float()  # voxel centres of torch's align_corners=False frame
        sample = grid_sample(slab[None], grid[None], padding_mode="zeros", align_corners=False)[0]
        depth = step / rays[1]
        total += torch.where((depth > 0) & (depth <= 1), sample, 0.0)  # not behind source or detector
    return total * _find_mm_per_slab(job, slope_a, slope_b)


def _make_ray(job: DeviceJob, axis: int) -> torch.Tensor:
    """From the source to each pixel along one axis of the grid, in voxels, float64 ``[row, column]``."""
    rows, columns = (torch.arange(count, device=job.values.device, dtype=torch.float64) for count in job.shape)
    along_rows = rows[:, None] * float(job.row_step[axis])
    return along_rows + columns * float(job.column_step[axis]) + float(job.ray00[axis])


def _make_channels(job: DeviceJob, n: int) -> torch.Tensor:
    """All channels of one slab, float32 ``[channel, a, b]``."""
    values = job.values[:, n].float()
    channels = [values.clamp(low, high) - offset for low, high, offset in job.bounds.tolist()]
    if job.bits is not None:
        channels += [((job.bits[:, n] >> mask) & 1).float() for mask in range(job.num_masks)]
    return torch.stack(channels)


def _find_mm_per_slab(job: DeviceJob, slope_a: torch.Tensor, slope_b: torch.Tensor) -> torch.Tensor:
    """Length of each ray between two slabs, in mm, float32 ``[row, column]``."""
    (aa, an, ab), (_, nn, nb), (_, _, bb) = job.metric_mm2.tolist()
    squared = nn + slope_a * (aa * slope_a + 2 * an) + slope_b * (bb * slope_b + 2 * nb + 2 * ab * slope_a)
    return squared.sqrt().float()
