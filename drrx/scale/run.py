"""The parts of the workflow's benchmark, one after another."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drrx.benchmark.machine import describe_machine
from drrx.errors import DrrxError
from drrx.scale.graph import measure_graph
from drrx.scale.overhead import measure_overhead
from drrx.scale.rate import measure_rate
from drrx.scale.settings import BenchmarkWorkflowSettings

MEASURES: dict[str, Callable[..., Any]] = {
    "graph": measure_graph, "overhead": measure_overhead, "rate": measure_rate
}  # fmt: skip


def run_benchmark(
    folder: Path, snakefile: Path, settings: BenchmarkWorkflowSettings, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Run the parts of ``settings`` below ``folder``; return plain values for JSON, by part.

    Parameters
    ----------
    folder
        Where projects are laid out; empty or absent.
    snakefile
        That of the workflow.
    settings
        What to run.
    progress
        Is told each finished measurement.

    Raises
    ------
    DrrxError
        Something lies in ``folder`` already, or a run failed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DrrxError(
            where=str(folder), found="files in it", needed="an empty folder", hint="Name another one with --work."
        )
    report: dict[str, Any] = {"machine": describe_machine(), "settings": dataclasses.asdict(settings)}
    for part in settings.parts:
        report[part] = MEASURES[part](folder, snakefile, settings, progress)
    return report
