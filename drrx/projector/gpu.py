"""The projector on a GPU: picks the kernel, and cuts the work into parts when memory is short.

All jobs go to the device at once. Only when they need more than there is (or the device says so) they are halved: first
the list of jobs, then the rows of a large image or the slabs of a large volume, whose shares add up because the
projection is linear. The answer depends on the cuts by rounding only.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from drrx.errors import CaseFailed
from drrx.geometry import View
from drrx.projector.device_job import DeviceJob, make_device_jobs
from drrx.projector.integrand import Integrand
from drrx.projector.rays import make_index_rays
from drrx.projector.torch_kernel import project_with_torch
from drrx.volume import Volume

Job = tuple[Integrand, View]
Images = list[NDArray[np.float32]]

CPU_BUDGET = 4 << 30  # bytes; torch cannot tell what a CPU has to spare
SHARE_OF_FREE_MEMORY = 0.8  # the rest is for what torch and the driver need besides
MAX_VOXELS = 2**31 - 1  # kernels count voxels in 32 bits


def project_on_gpu(jobs: Sequence[Job], device: str) -> Images:
    """Compute ``drrx.projector.project`` on a torch device.

    Parameters
    ----------
    jobs
        As for ``project``.
    device
        ``"cuda"``, ``"cuda:1"``, ...: the Triton kernel, or torch's own operations where Triton is missing or older
        than 3.3; ``"cpu:0"`` for the latter on a CPU.

    Returns
    -------
    For each job float32 ``[channel, row, column]``.

    Raises
    ------
    CaseFailed
        ``NO_DEVICE``: there is no such device; ``OUT_OF_MEMORY``: one slab and one row of pixels do not fit.
    DrrxError
        A source lies inside its volume.
    """
    target = _find_device(device)
    return _project(list(jobs), target, pick_kernel(target)) if jobs else []


def pick_kernel(device: torch.device) -> Callable[[Sequence[DeviceJob]], list[torch.Tensor]]:
    """Return the Triton kernel for CUDA devices where Triton is installed, else the one in torch."""
    if device.type != "cuda":
        return project_with_torch
    try:
        from drrx.projector.triton_launch import project_with_triton
    except ImportError:
        return project_with_torch
    return project_with_triton


def find_budget(device: torch.device) -> float:
    """Return how many bytes on ``device`` a call may use."""
    if device.type != "cuda":
        return CPU_BUDGET
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return SHARE_OF_FREE_MEMORY * (torch.cuda.mem_get_info(device)[0] + idle)


def find_need(jobs: Sequence[Job]) -> float:
    """Return an upper bound of the bytes that ``jobs`` take on a device, infinite for a grid of too many voxels."""
    integrands = {id(integrand): integrand for integrand, _ in jobs}.values()
    if max(integrand.volume.values.size for integrand in integrands) > MAX_VOXELS:
        return np.inf
    return sum(map(_find_grid_bytes, integrands)) + sum(_find_image_bytes(*job) for job in jobs)


def _find_grid_bytes(integrand: Integrand) -> int:
    per_voxel = min(integrand.volume.values.itemsize, 4) + bool(integrand.masks)
    return 2 * per_voxel * integrand.volume.values.size  # a lateral view copies it


def _find_image_bytes(integrand: Integrand, view: View) -> int:
    per_pixel = 96 + 24 * integrand.num_channels  # torch's float64 positions; shares of the sums
    return per_pixel * view.shape[0] * view.shape[1]


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise CaseFailed(
            "NO_DEVICE", where="device", found=f"{name!r} and {torch.cuda.device_count()} CUDA devices",
            needed="cpu, or a CUDA device that torch can see",
            hint="Set device: cpu, or install torch for CUDA and check nvidia-smi.",
        )  # fmt: skip
    return device


def _project(jobs: list[Job], device: torch.device, kernel: Callable) -> Images:
    if find_need(jobs) <= find_budget(device):
        try:
            return [image.cpu().numpy() for image in kernel(make_device_jobs(jobs, device))]
        except torch.cuda.OutOfMemoryError:  # somebody else was faster: go on below, where its memory is free again
            pass
    if len(jobs) > 1:
        middle = len(jobs) // 2
        return _project(jobs[:middle], device, kernel) + _project(jobs[middle:], device, kernel)
    (job,) = jobs
    parts = _cut(*job)
    images = [_project([part], device, kernel)[0] for part in parts]
    is_by_rows = parts[0][0] is job[0]
    return [np.concatenate(images, axis=1) if is_by_rows else images[0] + images[1]]


def _cut(integrand: Integrand, view: View) -> tuple[Job, Job]:
    """Halve the rows of the image or the slabs of the volume, whichever takes more."""
    volume, (num_rows, num_columns) = integrand.volume, view.shape
    axis = make_index_rays(volume, view).axis
    num_slabs = volume.shape[axis]
    is_by_rows = _find_image_bytes(integrand, view) > _find_grid_bytes(integrand)
    if num_rows > 1 and (is_by_rows or num_slabs == 1):
        columns = slice(0, num_columns)
        halves = slice(0, num_rows // 2), slice(num_rows // 2, num_rows)
        return (integrand, view.window(halves[0], columns)), (integrand, view.window(halves[1], columns))
    if num_slabs > 1:
        halves = slice(0, num_slabs // 2), slice(num_slabs // 2, num_slabs)
        return (_crop(integrand, axis, halves[0]), view), (_crop(integrand, axis, halves[1]), view)
    raise CaseFailed(
        "OUT_OF_MEMORY", where=f"view {view.name}",
        found=f"too little memory for one slab of {volume.shape} and one row of pixels",
        needed=f"{find_need([(integrand, view)]):.0f} bytes", hint="Free memory of the device, or set device: cpu.",
    )  # fmt: skip


def _crop(integrand: Integrand, axis: int, slabs: slice) -> Integrand:
    window = [slice(None)] * 3
    window[axis] = slabs
    volume = integrand.volume
    affine = volume.world_from_index.copy()
    affine[:3, 3] += slabs.start * affine[:3, axis]
    labels = None if integrand.labels is None else integrand.labels[tuple(window)]
    return Integrand(Volume(volume.values[tuple(window)], affine), integrand.bands, labels, integrand.masks)
