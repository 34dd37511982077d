"""The process that reads one damaged file after another: `python -m tests.fuzz.child TARGET SEED FIRST KEEP`.

After each it writes a line to standard output: number, outcome, seconds, peak memory in MB. What it is about to read
lies in a folder of its own, so that whoever ends it can keep that.
"""

import contextlib
import os
import random
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.seeds import SECRET, Seed
from tests.fuzz.targets import MAX_SECONDS, TARGETS, Target

#: Address space on top of what is there after the imports.
MAX_GROWTH_BYTES = 2 << 30
FINDING = "FINDING"


def make_input(target: Target, seed: int, number: int) -> Seed:
    """Return the input of a number: the same whenever it is asked for."""
    return target.make_input(random.Random(f"{target.name}:{seed}:{number}").randrange)


def main() -> None:
    """Read inputs until ended."""
    target, seed, number, work = TARGETS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    noise = os.open(work / "stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    target.make_seeds()
    _limit_memory()
    lines.write("ready\n")
    while True:
        folder = work / str(number)
        folder.mkdir()
        made = make_input(target, seed, number)
        started = time.monotonic()
        outcome = _try(target, folder, made, work / f"{number}.txt", noise)
        seconds = time.monotonic() - started
        if left := list(work.glob("drrx-*")):
            outcome = outcome if outcome.startswith(FINDING) else f"{FINDING}:left-in-the-temporary-folder"
            _remove(left)
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        lines.write(f"{number} {outcome} {seconds:.3f} {peak // 1024}\n")
        if not outcome.startswith(FINDING) and seconds < MAX_SECONDS:
            shutil.rmtree(folder)
        number += 1


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MAX_GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(target: Target, folder: Path, made: Seed, report: Path, noise: int) -> str:
    os.ftruncate(noise, 0)
    os.lseek(noise, 0, os.SEEK_SET)
    try:
        outcome = target.try_input(folder, made)
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        report.write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "drrx" in frame.filename] or frames
        return f"{FINDING}:{type(error).__name__}@{Path(own[-1].filename).name}:{own[-1].lineno}"
    with contextlib.suppress(OSError):
        said = os.pread(noise, 1 << 16, 0)
        if SECRET.encode() in said:
            report.write_bytes(said)
            return f"{FINDING}:text-of-the-file-on-stderr"
        return f"{outcome}+noise" if said else outcome
    return outcome


if __name__ == "__main__":
    main()
