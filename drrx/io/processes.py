"""Which process is it, and is it still alive? Asked of locks and of files that a killed process left."""

import functools
import hashlib
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process, told apart from every other one.

    Attributes
    ----------
    host
        Name of its machine, for people.
    pid, start
        Its number, and when it started in ticks since the machine started (0 where the system does not tell): numbers
        are used again, both together are not.
    boot, namespace
        The start of its machine and its space of process numbers; empty where the system does not tell. Only where both
        are ours can we see whether it is alive.
    """

    host: str
    pid: int
    start: int
    boot: str
    namespace: str

    @property
    def space(self) -> str:
        """Eight characters for machine, its start and its space of process numbers."""
        return hashlib.sha256(f"{self.host}\0{self.boot}\0{self.namespace}".encode()).hexdigest()[:8]

    def is_seen(self) -> bool:
        """Return whether we would see it if it were alive."""
        me = this_process()
        return bool(self.boot and self.namespace) and (self.boot, self.namespace) == (me.boot, me.namespace)

    def is_alive(self) -> bool:
        """Return whether it is alive; asks only what ``is_seen``."""
        return is_running(self.pid, self.start)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def is_running(pid: int, start: int) -> bool:
    """Return whether a process of our own space is running: a dead one that nobody waited for is not."""
    found = _read_stat(pid)
    return found is not None and found[0] not in ("Z", "X") and found[1] == start


def this_process() -> Process:
    """Return the process that asks; a forked one is another."""
    return _describe(os.getpid())


def started_s() -> float:
    """Return when this machine started, in seconds since 1970; 0 where the system does not tell."""
    for line in _read("/proc/stat").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


@functools.lru_cache(maxsize=1)
def _describe(pid: int) -> Process:
    found = _read_stat(pid)
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    boot = _read("/proc/sys/kernel/random/boot_id").strip()
    return Process(socket.gethostname(), pid, found[1] if found else 0, boot, namespace)


def _read_stat(pid: int) -> tuple[str, int] | None:
    """Return state and start of a process; ``None`` when there is none."""
    # The second field is the program's name in brackets; it may hold blanks and brackets itself.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
