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
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this child alone, and of the children it waited for
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if process.returncode:
        raise DrrxError(
            where=" ".join(command[1:4]), found=f"status {process.returncode}: {said[-1500:].strip()}",
            needed="status 0", hint=f"Look into {folder}.",
        )  # fmt: skip
    kilobyte = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    return Spent(seconds, usage.ru_maxrss / 1024 / kilobyte, said)


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
