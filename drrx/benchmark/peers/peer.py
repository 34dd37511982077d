"""A projector that takes part in the benchmark."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.benchmark.scene import Scene


@dataclass(frozen=True, eq=False)
class Shot:
    """One image, float32 ``[row, column]`` mm of water, and what the projector says of itself.

    ``seconds`` and ``peak_mib`` are set by a projector that runs as a program of its own: its time without start-up
    and files, and its memory. Else the caller measures both.
    """

    image: NDArray[np.float32]
    seconds: float | None = None
    peak_mib: float | None = None


Projection = Callable[[], Shot]


class PeerAbsent(Exception):
    """A projector cannot run here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """One row of the table.

    Attributes
    ----------
    name
        As in the table.
    method
        How it integrates.
    prepare
        Takes a scene, returns the call to be timed. What a user does once per CT (import, change of layout, upload)
        belongs here and is not timed. Raises ``PeerAbsent``.
    find_version
        Returns the version; raises ``PeerAbsent`` where there is none.
    turn_deg
        Turn of its view about the patient's long axis.
    """

    name: str
    method: str
    prepare: Callable[[Scene], Projection]
    find_version: Callable[[], str]
    turn_deg: float = 0.0


def version_of(package: str) -> Callable[[], str]:
    """Return what looks up the version of an installed package."""

    def find() -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise PeerAbsent(f"package {package} is not installed") from None

    return find


def need_cuda() -> None:
    """Raise ``PeerAbsent`` where torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise PeerAbsent("no CUDA device")
