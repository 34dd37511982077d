"""One projector in a process of its own: ``python -m drrx.benchmark.worker NAME SCENE RUNS BUDGET_S IMAGE``.

Import time, memory and thread counts are then its own. Prints the measured numbers as one line of JSON.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from drrx.benchmark.peers import PEERS
from drrx.benchmark.peers.peer import Peer, PeerAbsent, Projection, Shot
from drrx.benchmark.scene import Scene

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run(peer: Peer, scene: Scene, num_runs: int, budget_s: float) -> tuple[dict[str, Any], Shot]:
    """Return the measured numbers and an image.

    The first call on a tiny scene pays for imports and compilers (``start_s``). The memory is the peak of the resident
    set from before ``prepare`` to the end, above what the process held with the int16 volume in it.
    """
    start = time.perf_counter()
    version = peer.find_version()
    peer.prepare(Scene.make_tiny())()
    start_s = time.perf_counter() - start
    before = _start_memory()
    project = peer.prepare(scene)
    warm_s, shot = _time(project)
    seconds = [] if num_runs and warm_s < budget_s else [warm_s]  # no time for more, or none asked for
    while len(seconds) < num_runs and sum(seconds) < budget_s:
        seconds.append(_time(project)[0])
    peak = shot.peak_mib if shot.peak_mib is not None else _peak_memory(before)
    numbers = {"version": version, "start_s": start_s, "ms": 1000 * statistics.median(seconds), "runs": len(seconds)}
    return numbers | {"peak_mib": peak}, shot


def _time(project: Projection) -> tuple[float, Shot]:
    start = time.perf_counter()
    shot = project()
    measured = time.perf_counter() - start
    return (measured if shot.seconds is None else shot.seconds), shot


def _start_memory() -> float | None:
    """Forget the peak of this process and return what it holds now, MiB; ``None`` where the system does not tell."""
    try:
        _RESET.write_text("5")
        return _read_status("VmRSS")
    except OSError:
        return None


def _peak_memory(before: float | None) -> float | None:
    return None if before is None else _read_status("VmHWM") - before


def _read_status(key: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def main(name: str, scene: str, num_runs: str, budget_s: str, image: str) -> None:
    """Run, write the image, print the numbers; a projector that cannot run here prints why."""
    try:
        numbers, shot = run(PEERS[name], Scene.read(Path(scene)), int(num_runs), float(budget_s))
        np.save(image, shot.image)
    except PeerAbsent as error:
        numbers = {"skipped": str(error)}
    print(json.dumps(numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
