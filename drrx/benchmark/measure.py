"""Runs a projector in a process of its own and checks its image."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.benchmark.peers import PEERS
from drrx.benchmark.scene import Scene, SparseReference
from drrx.benchmark.settings import BenchmarkProjectorSettings

_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One projector on one scene.

    Attributes
    ----------
    peer, size_px, threads, num_voxels
        What was run.
    version, start_s, ms, runs, peak_mib
        Its version, time to import and compile, median time of a projection, number of timed runs, and memory above
        the int16 volume (``None``: not told).
    relative_error
        Root mean square error over root mean square of the exact trilinear integral, on a few pixels.
    skipped
        Why it did not run; the numbers are ``None`` then.
    """

    peer: str
    size_px: int
    threads: int
    num_voxels: int
    version: str | None = None
    start_s: float | None = None
    ms: float | None = None
    runs: int | None = None
    peak_mib: float | None = None
    relative_error: float | None = None
    skipped: str | None = None


def measure(
    name: str, scene: Scene, threads: int, settings: BenchmarkProjectorSettings, *, runs: int | None = None
) -> tuple[Measurement, NDArray[np.float32] | None]:
    """Run one projector; return its numbers (without an error) and its image, ``None`` when there is none."""
    facts = (name, scene.view.shape[0], threads, scene.volume.values.size)
    with tempfile.TemporaryDirectory() as folder:
        path, image = Path(folder) / "scene.npz", Path(folder) / "image.npy"
        scene.turned(PEERS[name].turn_deg).write(path)
        numbers = settings.runs if runs is None else runs, settings.budget_s
        command = [sys.executable, "-m", "drrx.benchmark.worker", name, str(path), *map(str, numbers), str(image)]
        environment = os.environ | dict.fromkeys(_THREADS, str(threads))
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=settings.limit_s)
        except subprocess.TimeoutExpired:
            return Measurement(*facts, skipped=f"over {settings.limit_s:.0f} s"), None
        if done.returncode:
            said = (done.stderr.strip() or f"ended with code {done.returncode}").splitlines()[-1]
            return Measurement(*facts, skipped=said), None
        found = json.loads(done.stdout.splitlines()[-1])
        return Measurement(*facts, **found), np.load(image) if image.exists() else None


def measure_checked(names: Sequence[str], scene: Scene, settings: BenchmarkProjectorSettings) -> Iterator[Measurement]:
    """Yield projectors on one scene with each number of threads, each image compared with the exact integral."""
    references: dict[float, SparseReference] = {}
    for name in names:
        turn = PEERS[name].turn_deg
        for threads in settings.threads:
            row, image = measure(name, scene, threads, settings)
            if image is None or not image.size:
                yield row
                continue
            if turn not in references:
                references[turn] = SparseReference.make(scene.turned(turn))
            yield replace(row, relative_error=references[turn].relative_error(image))
