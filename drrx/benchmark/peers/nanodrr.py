"""nanodrr (package ``nanodrr``): torch on a CPU, its fused Triton kernel on a GPU."""

import importlib
import time
from functools import partial
from typing import Any

import numpy as np

from drrx.benchmark.peers.peer import Peer, Projection, Shot, need_cuda, version_of
from drrx.benchmark.scene import Scene

SAMPLES_AT_ONCE = 2**24
NUM_SAMPLES = 500  # its default


def prepare(scene: Scene, device: str) -> Projection:
    """Put volume and rays on the device; its camera frame is ours with the source at 0."""
    if device == "cuda":
        need_cuda()
    torch: Any = importlib.import_module("torch")
    render = importlib.import_module("nanodrr.drr").render
    view, subject = scene.view, _make_subject(torch, scene).to(device)
    rays = torch.from_numpy(view.pixel_world_mm(*np.indices(view.shape)) - view.source_world_mm).float().to(device)
    camera, sdd = torch.eye(4, device=device)[None], torch.tensor([view.source_to_detector_mm], device=device)
    camera[0, :3, 3] = torch.from_numpy(view.source_world_mm).float()
    stripe = view.shape[0] if device == "cuda" else max(1, SAMPLES_AT_ONCE // (NUM_SAMPLES * view.shape[1]))

    def project() -> Shot:
        parts, begin = [], time.perf_counter()
        with torch.no_grad():
            for part in torch.split(rays, stripe):
                size = {"height": part.shape[0], "width": part.shape[1], "n_samples": NUM_SAMPLES}
                start, ends = torch.zeros(1, 1, 3, device=device), part.reshape(1, -1, 3)
                parts.append(render(subject, camera[:, :3, :3], camera, sdd, src=start, tgt=ends, **size)[0, 0])
        if device == "cpu":
            return Shot(torch.cat(parts).numpy())
        torch.cuda.synchronize()
        seconds = time.perf_counter() - begin  # the CT was there before and the image stays, as of drrx's kernel
        return Shot(torch.cat(parts).cpu().numpy(), seconds)

    return project


def _make_subject(torch: Any, scene: Scene) -> Any:
    subject = importlib.import_module("nanodrr.data").Subject
    density = torch.from_numpy(scene.density())[None, None]
    world = scene.volume.world_from_index[:, [2, 1, 0, 3]]  # its voxel indices are (x, y, z)
    grid = np.diag([*(2 / np.array(scene.volume.shape[::-1])), 1.0])
    grid[:3, 3] = 1 / np.array(scene.volume.shape[::-1]) - 1
    matrices = [
        torch.from_numpy(matrix).float() for matrix in (world, np.linalg.inv(world), grid, scene.volume.center_world_mm)
    ]
    return subject(density, torch.zeros_like(density), *matrices, max_label=0, convert_to_mu=False)


PEERS = (
    Peer("nanodrr", f"{NUM_SAMPLES} samples", partial(prepare, device="cpu"), version_of("nanodrr")),
    Peer("nanodrr fused, cuda", f"{NUM_SAMPLES} samples", partial(prepare, device="cuda"), version_of("nanodrr")),
)
