"""Jobs of the projector as its device kernels need them: grids on the device, rays in the order of its axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.projector.integrand import Integrand
from drrx.projector.rays import IndexRays, make_index_rays

Grid = tuple[torch.Tensor, torch.Tensor | None]  # values and bits


@dataclass(frozen=True, eq=False)
class DeviceJob:
    """One grid on the device and one view of it, with the axes in the order (a, n, b).

    Rays step along ``n``, and a sample is interpolated between its neighbours along ``a`` and ``b``. The vectors are
    float64 ``(3,)`` in voxels; a pixel lies at ``source + ray00 + row * row_step + column * column_step``.

    Attributes
    ----------
    values
        ``[a, n, b]`` int16, uint8 or float32 with neighbours along ``b`` next to each other in memory.
    bits
        uint8 like ``values``: bit ``k`` is set inside mask ``k``; ``None`` without masks.
    source, ray00, row_step, column_step
        The source, and pixels relative to it.
    metric_mm2
        float64 ``(3, 3)``: squared length of ``x`` voxels is ``x @ metric_mm2 @ x``.
    bounds
        float64 ``(num_bands, 3)``: low and high end of each band and what is taken off.
    num_masks
        Number of channels after the bands.
    shape
        Rows and columns of the image.
    is_separable
        Whether position along ``a`` depends on the image row only, along ``b`` on the column only.
    """

    values: torch.Tensor
    bits: torch.Tensor | None
    source: NDArray[np.float64]
    ray00: NDArray[np.float64]
    row_step: NDArray[np.float64]
    column_step: NDArray[np.float64]
    metric_mm2: NDArray[np.float64]
    bounds: NDArray[np.float64]
    num_masks: int
    shape: tuple[int, int]
    is_separable: bool

    @property
    def num_channels(self) -> int:
        """Number of bands and masks together."""
        return len(self.bounds) + self.num_masks


def make_device_jobs(jobs: Sequence[tuple[Integrand, View]], device: torch.device) -> list[DeviceJob]:
    """Upload each integrand once, however many of the ``jobs`` look at it, and express the views in its voxels."""
    uploads: dict[int, Grid] = {}
    turned: dict[tuple[int, int], Grid] = {}
    made = []
    for integrand, view in jobs:
        rays = make_index_rays(integrand.volume, view)
        key = id(integrand), rays.axis
        if id(integrand) not in uploads:
            uploads[id(integrand)] = _upload(integrand, device)
        if key not in turned:
            values, bits = uploads[id(integrand)]
            turned[key] = _turn(values, rays.axis), None if bits is None else _turn(bits, rays.axis)
        made.append(_make_device_job(integrand, view, rays, turned[key]))
    return made


def _make_device_job(integrand: Integrand, view: View, rays: IndexRays, grid: Grid) -> DeviceJob:
    order = [rays.across[0], rays.axis, rays.across[1]]
    steps_mm = integrand.volume.world_from_index[:3, order]
    return DeviceJob(
        *grid, rays.source_index[order], (rays.pixel00_index - rays.source_index)[order], rays.row_step_index[order],
        rays.column_step_index[order], steps_mm.T @ steps_mm,
        np.column_stack([np.array(integrand.bands).reshape(-1, 2), integrand.offsets]), len(integrand.masks),
        view.shape, rays.is_separable,
    )  # fmt: skip


def _upload(integrand: Integrand, device: torch.device) -> Grid:
    """Values in a dtype that the kernels read, and the masks of each voxel, ``[slice, row, column]``."""
    on_device = torch.from_numpy(np.ascontiguousarray(integrand.native_values)).to(device)
    if integrand.labels is None or not integrand.masks:
        return on_device, None
    bits = torch.from_numpy(np.ascontiguousarray(integrand.labels)).to(device, copy=True)
    table = torch.from_numpy(integrand.mask_bits).to(device)
    for plane in bits:  # slice by slice: torch looks up with 32-bit indices, four times the labels
        plane.copy_(table[plane.int()])
    return on_device, bits


def _turn(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """Bring ``[slice, row, column]`` into the order (a, n, b) of rays along ``axis``; a lateral view needs a copy."""
    return tensor.transpose(0, 1) if axis == 0 else tensor if axis == 1 else tensor.transpose(1, 2).contiguous()
