"""`drrx run` in a workshop, and the processes that it starts."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from drrx.config import STAGES
from tests.faults.workshop import ROOT, Workshop

COMMAND = [sys.executable, "-m", "drrx", "run", "--cores", "2"]


def start_driver(workshop: Workshop, *options: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen:
    """Start `drrx run`; what it says goes to ``driver.log``."""
    with (workshop.folder / "driver.log").open("ab") as said:
        said.write(f"\n==== {shlex.join(options)}\n".encode())
        said.flush()
        return subprocess.Popen(
            [*COMMAND, *options], cwd=cwd or workshop.folder, stdout=said, stderr=said, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        )  # fmt: skip


def find_processes(folder: Path, word: str) -> list[int]:
    """Living processes that work in ``folder`` and have ``word`` in their command line, without their own watchdogs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            if word.encode() in words and (path / "cwd").readlink() == folder and words[0].endswith(b"python"):
                found[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return [pid for pid, parent in found.items() if parent not in found]


def find_group(pid: int) -> int:
    """The process group of a process; 0 when it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def find_stage(pid: int) -> str:
    """The stage that a process of `drrx run-stage` works on."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return "no stage"
    return next((word for word in words if word in STAGES), "no stage")


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_all(folder: Path) -> None:
    """End all that still works in ``folder``."""
    for word in ("run", "snakemake", "run-stage"):
        for pid in find_processes(folder, word):
            send(pid, signal.SIGKILL)
