"""Which device a job computes on: jobs on one machine share its GPUs by a lock file for each."""

import fcntl
import functools
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from drrx.errors import CaseFailed

log = logging.getLogger(__name__)
WAIT_S = 0.5


def list_devices() -> Mapping[str, str]:
    """Return the CUDA devices that torch sees, ``cuda:0`` and so on, each with a name that no other device has.

    ``CUDA_VISIBLE_DEVICES`` is heeded, because torch heeds it. Numbers do not do as names: two SLURM jobs on a node may
    both call their own device 0.
    """
    import torch  # takes a second to import, and a job on the CPU may not need it

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {f"cuda:{i}": str(torch.cuda.get_device_properties(i).uuid) for i in range(count)}


@functools.cache
def take_device(setting: str, locks: Path | None = None) -> str:
    """Return the torch device that this process uses for ``setting``; the same one until it ends.

    Parameters
    ----------
    setting
        ``cuda``: a device that no other job of this user has, waiting for one if need be; ``auto``: the same where
        there is a device, else ``cpu``; anything else, such as ``cpu`` or ``cuda:1``, is taken as it is.
    locks
        Folder of the lock files, on this machine's own disk (default: in the folder for temporary files). The system
        frees a lock when its process ends, however it ends.

    Raises
    ------
    CaseFailed
        ``NO_DEVICE``: ``cuda``, and torch sees none.
    """
    if setting not in ("auto", "cuda"):
        return setting
    devices = list_devices()
    if not devices and setting == "auto":
        return "cpu"
    if not devices:
        raise CaseFailed(
            "NO_DEVICE", where="device", found="'cuda' and no CUDA device", needed="a device that torch can see",
            hint="Set device: cpu or auto, or install torch for CUDA and check nvidia-smi and CUDA_VISIBLE_DEVICES.",
        )  # fmt: skip
    return _wait_for_one(devices, locks or Path(tempfile.gettempdir(), f"drrx-devices-{os.getuid()}"))


#: Open lock files. They must stay open: a lock ends with its file.
_HELD: list[IO[str]] = []


def _wait_for_one(devices: Mapping[str, str], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for device, name in devices.items():
            if _lock(folder / f"{name}.lock"):
                log.info("computing on %s", device)
                return device
        if not told:
            log.info("waiting for one of %d busy devices", len(devices))
        told = True
        time.sleep(WAIT_S)


def _lock(path: Path) -> bool:
    stream = path.open("a")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return False
    _HELD.append(stream)
    return True


def count_devices(environment: Mapping[str, str] = os.environ, folder: Path = Path("/dev")) -> int:
    """Return how many CUDA devices this process may use. It does not ask torch, so it is quick, and for Linux only."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return len([name for name in named.split(",") if name.strip() not in ("", "-1")])
    return len([path for path in folder.glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()])
