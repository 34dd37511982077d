"""Fuzz each reader for some minutes: `python -m tests.fuzz --minutes 30 [--reader nifti] [--seed 1] [--keep FOLDER]`.

Each reader runs in a process of its own with limited memory, which is ended when a file takes too long, and begun anew.
A finding is anything but a valid result or a typed error, a process that dies, a file that takes more than 10 s, more
than 2 GB of memory, or text of a file on standard error. Inputs of findings are kept; exit code 1 if there are any.
`--only N` reads input N of a reader and a seed alone and shows what comes of it.
"""

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.child import FINDING, make_input
from tests.fuzz.targets import MAX_SECONDS, TARGETS

#: A process is ended when it says nothing for so long; a file that takes longer than 10 s is a finding already.
PATIENCE_SECONDS = 30.0
START_SECONDS = 120.0
MAX_PEAK_MB = 2048
#: Inputs that are kept of findings at one place.
MAX_NUM_KEPT = 3


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)
    peak_mb: int = 0

    def add(self, number: int, outcome: str, seconds: float, peak_mb: int) -> str:
        """Count an input and return the name of its finding, if it is one."""
        self.slowest, self.peak_mb = max(self.slowest, (seconds, number)), max(self.peak_mb, peak_mb)
        finding = outcome.partition(":")[2] if outcome.startswith(FINDING) else ""
        finding = finding or ("slow" if seconds > MAX_SECONDS else "")
        self.outcomes[FINDING if finding else outcome] += 1
        if finding:
            self.findings[finding] += 1
        return finding


class Run:
    """The processes of one reader, one after another."""

    def __init__(self, name: str, seed: int, keep: Path) -> None:
        self.name, self.seed, self.keep, self.tally, self.number = name, seed, keep, Tally(), 0

    def go(self, minutes: float) -> Tally:
        """Read inputs for so many minutes."""
        started = time.monotonic()
        while (left := started + 60 * minutes - time.monotonic()) > 0:
            with tempfile.TemporaryDirectory(prefix="drrx-fuzz-") as work:
                self._run_child(Path(work), left)
        self.tally.seconds = time.monotonic() - started
        if self.tally.peak_mb > MAX_PEAK_MB:
            self.tally.findings[f"peak memory {self.tally.peak_mb} MB"] += 1
        return self.tally

    def _run_child(self, work: Path, seconds: float) -> None:
        environment = os.environ | {"TMPDIR": str(work), "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            self._make_command(work), stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        try:
            end = self._listen(child, work, time.monotonic() + seconds)
        finally:
            child.kill()
            child.wait()
        if end:
            self._note(work, f"{end} ({child.returncode})" if end == "died" else end)
            self.number += 1

    def _make_command(self, work: Path) -> list[str]:
        arguments = (self.name, self.seed, self.number, work)
        return [sys.executable, "-m", "tests.fuzz.child", *map(str, arguments)]

    def _listen(self, child: subprocess.Popen, work: Path, until: float) -> str:
        """Count what the process says, until the time is over or, which is a finding, it says no more."""
        rest, patience, is_ready = b"", START_SECONDS, False
        while time.monotonic() < until:
            if not select.select([child.stdout], [], [], patience)[0]:
                return "no answer in time"
            some = os.read(child.stdout.fileno(), 1 << 16)
            if not some and not is_ready:
                raise ChildProcessError("the process that reads does not start; its own words stand above")
            if not some:
                return "died"
            *lines, rest = (rest + some).split(b"\n")
            for line in lines:
                patience, is_ready = PATIENCE_SECONDS, True
                if line != b"ready":
                    self._count(line.decode(), work)
        return ""

    def _count(self, line: str, work: Path) -> None:
        number, outcome, seconds, peak_mb = line.split()
        self.number = int(number)
        finding = self.tally.add(self.number, outcome, float(seconds), int(peak_mb))
        if finding:
            self._save(work, finding)
        self.number += 1

    def _note(self, work: Path, end: str) -> None:
        self.tally.outcomes[FINDING] += 1
        self.tally.findings[end] += 1
        self._save(work, end)

    def _save(self, work: Path, finding: str) -> None:
        if self.tally.findings[finding] > MAX_NUM_KEPT:
            return
        place, written = self.keep / f"{self.name}-{self.seed}-{self.number}", work / str(self.number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if written.is_dir():
            shutil.copytree(written, place / "input")
        text = work / f"{self.number}.txt"
        if text.is_file():
            shutil.copyfile(text, place / "report.txt")
        again = f"python -m tests.fuzz --reader {self.name} --seed {self.seed} --only {self.number}"
        (place / "finding.txt").write_text(f"{finding}\n{again}\n", encoding="utf-8")


def _show(name: str, tally: Tally) -> None:
    codes = ", ".join(f"{code} {count}" for code, count in tally.outcomes.most_common())
    total = sum(tally.outcomes.values())
    print(
        f"{name}: {total} inputs in {tally.seconds / 60:.1f} min, peak {tally.peak_mb} MB, slowest "
        f"{tally.slowest[0]:.2f} s (input {tally.slowest[1]}), {sum(tally.findings.values())} findings\n    {codes}",
        flush=True,
    )
    for finding, count in tally.findings.most_common():
        print(f"    FINDING {count} x {finding}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the readers one after another, each for its share of the time."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes for each reader")
    parser.add_argument("--reader", action="append", choices=TARGETS, help="a reader; may be repeated; default all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs of findings")
    parser.add_argument("--only", type=int, help="read this one input here and show what comes of it")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    args = parser.parse_args(arguments)
    readers = args.reader or list(TARGETS)
    if args.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            target = TARGETS[readers[0]]
            print(target.try_input(Path(folder), make_input(target, args.seed, args.only)))
        return 0
    print(f"seed {args.seed}", flush=True)
    tallies = {}
    for name in readers:
        tallies[name] = Run(name, args.seed, args.keep).go(args.minutes)
        _show(name, tallies[name])
    if args.json:
        counts = {name: vars(tally) for name, tally in tallies.items()}
        args.json.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return int(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
