"""The GPU kernel: Joseph's method in torch, one bilinear resampling per slab of voxels, on any torch device."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from drrx.geometry import View
from drrx.projector.integrand import Integrand
from drrx.projector.rays import make_index_rays
from drrx.volume import Volume


def project_on_gpu(jobs: Sequence[tuple[Integrand, View]], device: str) -> list[NDArray[np.float32]]:
    """Compute ``drrx.projector.project`` on a torch device: ``"cuda"``, ``"cuda:1"``, ``"cpu:0"``, ..."""
    results = []
    for integrand, view in jobs:
        values, bits = integrand.volume.values, integrand.mask_bits
        channels = [np.clip(values, *b) - offset for b, offset in zip(integrand.bands, integrand.offsets, strict=True)]
        channels += [bits[integrand.labels] >> k & 1 for k in range(len(integrand.masks))]
        results.append(np.stack([_project(integrand.volume.with_values(c), view, device) for c in channels]))
    return results


def _project(volume: Volume, view: View, device: str) -> NDArray[np.float32]:
    rays = make_index_rays(volume, view)
    first, second = rays.across
    slabs = np.ascontiguousarray(volume.values.transpose(rays.axis, first, second))
    values = torch.from_numpy(slabs).to(device).float()

    def along(order: int, step: NDArray[np.float64], count: int) -> torch.Tensor:
        return torch.arange(count, device=device, dtype=torch.float64) * float(step[order])

    def pixel(order: int) -> torch.Tensor:
        rows = along(order, rays.row_step_index, view.shape[0])[:, None]
        columns = along(order, rays.column_step_index, view.shape[1])[None, :]
        return rows + columns + float(rays.pixel00_index[order] - rays.source_index[order])

    slope_first, slope_second = pixel(first) / pixel(rays.axis), pixel(second) / pixel(rays.axis)
    source = rays.source_index
    size = torch.tensor([values.shape[2], values.shape[1]], device=device, dtype=torch.float64)
    total = torch.zeros(view.shape, device=device)
    for slab in torch.nonzero(values.flatten(1).any(1)).flatten().tolist():
        step = slab - float(source[rays.axis])
        index = torch.stack([source[second] + step * slope_second, source[first] + step * slope_first], dim=-1)
        grid = ((2 * index + 1) / size - 1).float()  # voxel centres of torch's align_corners=False frame
        sample = grid_sample(values[slab][None, None], grid[None], padding_mode="zeros", align_corners=False)[0, 0]
        between = (step / pixel(rays.axis) > 0) & (step / pixel(rays.axis) <= 1)  # not behind source or detector
        total += torch.where(between, sample, 0.0)
    return (total.double().cpu().numpy() * rays.mm_per_slab).astype(np.float32)
