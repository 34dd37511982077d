"""What no projector can beat: reading the int16 volume once, and copying it."""

from typing import Any

import numpy as np
from numba import njit, prange

import drrx
from drrx.benchmark.peers.peer import Peer, Projection, Shot, need_cuda
from drrx.benchmark.scene import Scene

READ, COPY, COPY_CUDA = "floor: read the volume", "floor: copy the volume", "floor: copy the volume, cuda"
FLOORS = (READ, COPY, COPY_CUDA)
_NO_IMAGE = Shot(np.zeros((0, 0), np.float32))


@njit(parallel=True, cache=True)
def _read(words: np.ndarray) -> Any:
    total = 0
    for i in prange(words.size):
        total += words[i]
    return total


@njit(parallel=True, cache=True)
def _copy(words: np.ndarray, into: np.ndarray) -> None:
    for i in prange(words.size):
        into[i] = words[i]


def _words(scene: Scene) -> np.ndarray:
    """The int16 volume as 64-bit words; up to three last voxels are left out."""
    values = scene.volume.values.reshape(-1)
    return values[: values.size // 4 * 4].view(np.int64)


def prepare_read(scene: Scene) -> Projection:
    """Add up the volume."""
    words = _words(scene)

    def read() -> Shot:
        _read(words)
        return _NO_IMAGE

    return read


def prepare_copy(scene: Scene) -> Projection:
    """Copy the volume to memory of its own."""
    words = _words(scene)
    into = np.empty_like(words)

    def copy() -> Shot:
        _copy(words, into)
        return _NO_IMAGE

    return copy


def prepare_copy_on_gpu(scene: Scene) -> Projection:
    """Copy the volume inside the GPU's memory."""
    need_cuda()
    import torch

    volume = torch.from_numpy(scene.volume.values).cuda()
    into = torch.empty_like(volume)

    def copy() -> Shot:
        into.copy_(volume)
        torch.cuda.synchronize()
        return _NO_IMAGE

    return copy


PEERS = (
    Peer(READ, "-", prepare_read, lambda: drrx.__version__),
    Peer(COPY, "-", prepare_copy, lambda: drrx.__version__),
    Peer(COPY_CUDA, "-", prepare_copy_on_gpu, lambda: drrx.__version__),
)
