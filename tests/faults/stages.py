"""Single stages in a workshop: quickly started, and as they go when nobody disturbs them."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from drrx.config import STAGES
from tests.faults.workshop import ROOT, Workshop


class Zygote:
    """Starts stages quickly (`tests/faults/zygote.py`)."""

    def __init__(self, workshop: Workshop, environment: dict[str, str] | None = None):
        self.workshop = workshop
        self.log = workshop.folder / "stage.log"
        command = [sys.executable, "-m", "tests.faults.zygote"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | (environment or {}),
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def start(self, stage: str, config: dict[str, Any], fault: dict[str, Any] | None = None, max_bytes: int = 0) -> int:
        """Start a stage; return the id of its process."""
        self.log.with_name("stage.log.count").unlink(missing_ok=True)
        ask = {"argv": self.workshop.argv(stage, config), "folder": str(self.workshop.folder), "log": str(self.log)}
        self.process.stdin.write(json.dumps(ask | {"fault": fault or {}, "max_bytes": max_bytes}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> int:
        """Wait for it; return its status, minus the number of the signal that ended it."""
        return int(self.process.stdout.readline())

    def run(self, stage: str, config: dict[str, Any], fault: dict[str, Any] | None = None, max_bytes: int = 0) -> int:
        self.start(stage, config, fault, max_bytes)
        return self.end()

    def count(self) -> int:
        """Operations on files of the results that the last stage did."""
        return int(self.log.with_name("stage.log.count").read_text())

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Pace:
    """How long the stages take, and how many operations on files they do, when nobody disturbs them."""

    seconds: dict[str, float]
    operations: dict[str, int]

    def draw(self, rng: random.Random, stage: str, kind: str) -> tuple[dict[str, Any] | None, float]:
        """Draw where to harm a stage: at an operation, or after some seconds."""
        if rng.random() < 0.5:
            return {"kind": kind, "at": rng.randint(1, max(1, self.operations[stage]))}, 0.0
        return None, rng.uniform(0, self.seconds[stage])


def run_undisturbed(workshop: Workshop, zygote: Zygote, config: dict[str, Any]) -> tuple[dict[str, str], Pace]:
    """Run all stages; return the tree and the pace."""
    pace = Pace({}, {})
    for stage in STAGES:
        start = time.monotonic()
        status = zygote.run(stage, config)
        assert status == 0, zygote.said()
        pace.seconds[stage] = time.monotonic() - start
        pace.operations[stage] = zygote.count()
    return workshop.expect(), pace
