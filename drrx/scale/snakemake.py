"""A folder with a cohort in which Snakemake is run, timed and weighed."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrx.errors import DrrxError
from drrx.io.files import write_text

#: So that a core of the machine is a core of the measurement.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
#: Starts a command and writes down its status and peak memory. A process takes over the peak of the one that forked
#: it, so that has to be a small one.
_WEIGH = """import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "w") as file:
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=file)"""


@dataclass(frozen=True)
class Spent:
    """What a process spent: wall time in s, peak memory of its largest process in MB, and what it said."""

    seconds: float
    peak_mb: float
    said: str


def run_measured(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Run ``command`` in ``folder`` and return what it spent.

    Raises
    ------
    DrrxError
        It failed; the last lines it said are told.
    """
    with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile("r") as weight:
        start = time.perf_counter()
        weighed = [sys.executable, "-S", "-c", _WEIGH, weight.name, *command]
        given = {**os.environ, **(environment or {})}
        subprocess.run(weighed, cwd=folder, env=given, stdout=out, stderr=subprocess.STDOUT, check=True)
        seconds = time.perf_counter() - start
        status, peak = map(int, weight.read().split())
        out.seek(0)
        said = out.read().decode(errors="replace")
    if status:
        raise DrrxError(
            where=" ".join(command[1:4]), found=f"status {status}: {said[-1500:].strip()}",
            needed="status 0", hint=f"Look into {folder}.",
        )  # fmt: skip
    kilobyte = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    return Spent(seconds, peak / 1024 / kilobyte, said)


@dataclass(frozen=True)
class Project:
    """Cohort table, config and results in ``folder``; ``snakefile`` is that of the workflow."""

    folder: Path
    snakefile: Path

    def write(self, rows: Sequence[tuple[str, str, str]], config: Mapping[str, Any]) -> None:
        """Write cohort table (case, path, cohort) and config; JSON is YAML too."""
        lines = ["case\tpath\tcohort", *("\t".join(row) for row in rows)]
        write_text(self.folder / "cohort.tsv", "\n".join(lines) + "\n")
        write_text(self.folder / "config.yaml", json.dumps(config))

    def run(self, *options: str, start: Sequence[str] = ("-m", "snakemake")) -> Spent:
        """Run Snakemake with ``options``."""
        command = [sys.executable, *start, "--snakefile", str(self.snakefile), *options]
        return run_measured(command, self.folder, ONE_THREAD)
