"""Places that are taken or closed: a second run on the same folder, no home, code that may only be read."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.faults.driver import start_driver
from tests.faults.workshop import ROOT, Workshop

BUSY_S = 5.0


def run_twice(workshop: Workshop, trees: dict, times: int = 1) -> list[float]:
    """Start a second run from another folder while the first goes on; return the seconds until it was refused."""
    took = []
    elsewhere = workshop.folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    for name in ("config.yaml", "cohort.tsv", "ct.nii.gz", "known.nii.gz", "torn.nii.gz"):
        shutil.copyfile(workshop.folder / name, elsewhere / name)
    for _ in range(times):
        workshop.clear()
        first = start_driver(workshop)
        while not list(workshop.results.glob(".drrx-owner-*")) and first.poll() is None:
            time.sleep(0.02)
        start, load = time.monotonic(), max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        command = [sys.executable, "-m", "drrx", "run", "--cores", "2", "--config", f"results={workshop.results}"]
        second = subprocess.run(
            command, cwd=elsewhere, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        took.append(time.monotonic() - start)
        said = second.stdout + second.stderr
        named = f"on {os.uname().nodename} since" in said and "[OUTPUT_BUSY]" in said
        # On a machine that does as much else, as long as it would take alone.
        if second.returncode != 1 or not named or took[-1] > BUSY_S * load:
            workshop.findings.append(f"second run: status {second.returncode} after {took[-1]:.1f} s: {said[-800:]}")
        if first.wait(timeout=600) != 8:
            workshop.findings.append(f"the first of two runs ended with {first.returncode}")
        workshop.compare(trees["plain"], "two runs")
    return took


@contextmanager
def closed_code(folder: Path):
    """The code in a folder that may only be read, without anything compiled beside it; where we may mount."""
    copy = folder / "code"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__", ".git", ".venv", "results", "*cache"))
    subprocess.run(["mount", "--bind", str(copy), str(copy)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(copy)], check=True)
    try:
        yield copy
    finally:
        subprocess.run(["umount", str(copy)], check=True)


def run_without_home(workshop: Workshop, trees: dict, home: str, code: Path | None = None) -> None:
    """Run everything with a home folder that is not there or may not be written; the tree must be the same."""
    workshop.clear()
    environment = dict.fromkeys(("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"), "")
    if code is not None:
        environment["PYTHONPATH"] = str(code)
    driver = start_driver(workshop, "--quiet", "rules", HOME=home, **environment)
    status = driver.wait(timeout=900)
    what = f"home {home}" + (", closed code" if code else "")
    workshop.counts[what] += 1
    if status != 8:
        said = (workshop.folder / "driver.log").read_text(errors="replace")
        workshop.findings.append(f"{what}: status {status}: {said[-1500:]}")
    workshop.compare(trees["plain"], what)
