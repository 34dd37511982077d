"""drrx's own rows: one channel, all channels of the pipeline, a turned view; on a CPU and on a GPU."""

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

import drrx
from drrx.benchmark.peers.peer import Peer, PeerAbsent, Projection, Shot, need_cuda
from drrx.benchmark.scene import AIR_HU, Scene
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.radiograph.attenuation import BASIS_BANDS_HU

DENSITY = (float(AIR_HU), np.inf)
TISSUE_EDGES_HU = (-950, -400, 200)  # lung, soft tissue and bone, roughly: labels for the masks
MASKS = ((1,), (2,), (3,))
ALL_CHANNELS = "drrx, 2 bases + 3 masks"


def prepare_density(scene: Scene, device: str = "cpu") -> Projection:
    """Project one channel, straight from int16 HU."""
    job = (Integrand(scene.volume, (DENSITY,)), scene.view)
    return lambda: Shot(project([job], device=device)[0][0] / np.float32(-AIR_HU))


def prepare_channels(scene: Scene) -> Projection:
    """Project the two bases and three masks that the pipeline asks for; the image is the sum of the bases."""
    labels = np.empty(scene.volume.shape, np.uint8)
    for index, plane in enumerate(scene.volume.values):  # smoothed: organs are connected, noise is not
        labels[index] = np.digitize(gaussian_filter(plane.astype(np.float32), 1.5), TISSUE_EDGES_HU)
    job = (Integrand(scene.volume, BASIS_BANDS_HU, labels, MASKS), scene.view)
    return lambda: Shot(project([job])[0][: len(BASIS_BANDS_HU)].sum(axis=0) / np.float32(-AIR_HU))


def prepare_upload(scene: Scene) -> Projection:
    """Project on a GPU; the CT goes up and the image comes back each time."""
    need_cuda()
    return prepare_density(scene, device="cuda")


def prepare_kernel(scene: Scene, name: str) -> Projection:
    """Project on a GPU that holds the CT and keeps the image: what the kernel alone takes."""
    need_cuda()
    import torch

    from drrx.projector.device_job import make_device_jobs

    kernel = _find_kernel(name)
    jobs = make_device_jobs([(Integrand(scene.volume, (DENSITY,)), scene.view)], torch.device("cuda"))

    def shoot() -> Shot:
        torch.cuda.synchronize()
        start = time.perf_counter()
        (image,) = kernel(jobs)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return Shot(image[0].cpu().numpy() / np.float32(-AIR_HU), seconds=seconds)

    return shoot


def _find_kernel(name: str) -> Callable[..., list[Any]]:
    if name == "torch":
        return importlib.import_module("drrx.projector.torch_kernel").project_with_torch
    try:
        return importlib.import_module("drrx.projector.triton_launch").project_with_triton
    except ImportError:
        raise PeerAbsent("Triton is not installed") from None


def find_version() -> str:
    """Return drrx's version."""
    return drrx.__version__


_make = partial(Peer, find_version=find_version)
PEERS = (
    _make("drrx", "Joseph, kinks", prepare_density),
    _make(ALL_CHANNELS, "Joseph, kinks", prepare_channels),
    _make("drrx, view turned by 3 deg", "Joseph, general", prepare_density, turn_deg=3.0),
    _make("drrx Triton, cuda", "Joseph", partial(prepare_kernel, name="triton")),
    _make("drrx torch, cuda", "Joseph", partial(prepare_kernel, name="torch")),
    _make("drrx with upload, cuda", "Joseph", prepare_upload),
)
