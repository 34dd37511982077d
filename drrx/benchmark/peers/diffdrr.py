"""DiffDRR's two renderers (package ``diffdrr``, torch), in stripes of rays so that memory stays bounded."""

import importlib
from functools import partial
from typing import Any

import numpy as np

from drrx.benchmark.peers.peer import Peer, Projection, Shot, version_of
from drrx.benchmark.scene import Scene

SAMPLES_AT_ONCE = 2**24
NUM_SAMPLES = 500  # its default


def prepare(scene: Scene, renderer: str) -> Projection:
    """Give DiffDRR its volume as ``[x, y, z]`` and the rays in voxel indices."""
    torch: Any = importlib.import_module("torch")
    renderers = importlib.import_module("diffdrr.renderers")
    view, order = scene.view, [2, 1, 0]
    volume = torch.from_numpy(scene.density().transpose(order).copy())
    pixels = view.pixel_world_mm(*np.indices(view.shape)).reshape(-1, 3)
    lengths = np.linalg.norm(pixels - view.source_world_mm, axis=1)
    target = torch.from_numpy(scene.volume.to_index(pixels)[None][..., order]).float()
    source = torch.from_numpy(scene.volume.to_index(view.source_world_mm)[None, None][..., order].copy()).float()
    length_mm = torch.from_numpy(lengths[None, None]).float()
    cast = getattr(renderers, renderer)()
    extra = {"n_points": NUM_SAMPLES} if renderer == "Trilinear" else {}
    stripe = SAMPLES_AT_ONCE // (NUM_SAMPLES if extra else sum(volume.shape) + 3)

    def project() -> Shot:
        with torch.no_grad():
            parts = [
                cast(volume, source, target[:, i : i + stripe], length_mm[..., i : i + stripe], **extra)
                for i in range(0, target.shape[1], stripe)
            ]
        return Shot(torch.cat(parts, dim=-1).reshape(view.shape).numpy())

    return project


PEERS = (
    Peer("DiffDRR trilinear", f"{NUM_SAMPLES} samples", partial(prepare, renderer="Trilinear"), version_of("diffdrr")),
    Peer("DiffDRR Siddon", "length in every voxel", partial(prepare, renderer="Siddon"), version_of("diffdrr")),
)
