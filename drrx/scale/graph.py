"""Time and memory of Snakemake itself for many cases: nothing done yet, and everything done.

The CTs are empty files and no stage runs. Results that Snakemake believes are made by its own ``--touch``: a file per
job is laid out, and Snakemake writes its metadata for each as after a real run.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drrx.config import STAGES
from drrx.errors import DrrxError
from drrx.io.cohort import read_cohort
from drrx.io.files import write_text
from drrx.scale.settings import BenchmarkWorkflowSettings
from drrx.scale.snakemake import Project
from drrx.shards import plan_shards, write_shards

COHORTS = 10
NOTHING = "Nothing to be done"
DATASET_FILES = ("manifest.json", "annotations.json", "contact_sheet.png", "images.csv", "nodules.csv", "index.html")


def measure_graph(
    folder: Path, snakefile: Path, settings: BenchmarkWorkflowSettings, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row per number of cases and shard size: jobs, and s and MB of dry run and of resume."""
    rows = []
    for num_cases in settings.graph_cases:
        for size in settings.shard_sizes:
            project = Project(folder / f"graph_{num_cases}_{size}", snakefile)
            row = {"cases": num_cases, "shard_size": size, **_measure(project, num_cases, size)}
            progress(f"{num_cases} cases, shards of {size}: dry run {row['dry_s']:.1f} s, resume {row['resume_s']:.1f}")
            rows.append(row)
    return rows


def _measure(project: Project, num_cases: int, shard_size: int) -> dict[str, Any]:
    make_stub_cts(project, num_cases, shard_size)
    dry = project.run("--cores", "1", "--dry-run", "--quiet", "rules")
    touched = project.run(
        "--cores", "1000", "--touch", "--forceall", "--scheduler", "greedy", "--quiet", "all",
        start=("-m", "drrx.scale.graph", str(shard_size)),
    )  # fmt: skip
    again = project.run("--cores", "1", "--dry-run")
    if NOTHING not in again.said:  # else the next line would run stages on empty CTs
        raise DrrxError(
            where=str(project.folder), found=f"jobs left after --touch: {again.said[-800:]}", needed=NOTHING,
            hint="Leave the code of drrx and the settings as they are while this runs.",
        )  # fmt: skip
    resume = project.run("--cores", "1")
    jobs = re.search(r"^total +(\d+)", dry.said, re.MULTILINE)
    return {
        "jobs": int(jobs[1]) if jobs else 0,
        "dry_s": dry.seconds, "dry_mb": dry.peak_mb,
        "resume_s": resume.seconds, "resume_mb": resume.peak_mb,
        "touch_s": touched.seconds,
    }  # fmt: skip


def make_stub_cts(project: Project, num_cases: int, shard_size: int) -> None:
    """Write a cohort table of ``num_cases`` empty CT files, in ten cohorts."""
    rows = []
    (project.folder / "ct").mkdir(parents=True)
    for number in range(num_cases):
        name = f"case-{number:06d}"
        (project.folder / "ct" / f"{name}.nii.gz").touch()
        rows.append((name, f"ct/{name}.nii.gz", f"site-{number * COHORTS // num_cases}"))
    project.write(rows, {"shard_size": shard_size})


def make_stub_results(results: Path, cohort: Path, shard_size: int) -> None:
    """Lay out the file of every job below ``results``, stage after stage."""
    plan = plan_shards(read_cohort(cohort), {}, shard_size)
    write_shards(results / "shards.tsv", plan)
    shards = dict.fromkeys(plan.values())
    for stage in STAGES[:-1]:
        folder = results / "records" / stage
        folder.mkdir(parents=True)
        for shard in shards:
            (folder / f"{shard}.json").touch()
    for name in DATASET_FILES:
        write_text(results / "dataset" / name, "")
    write_text(results / "summary.json", "{}")


def main(argv: list[str]) -> None:
    """Lay out stub results in the working folder, then become Snakemake with the options after the shard size."""
    from snakemake.cli import main as snakemake
    from snakemake.executors.touch import Executor

    make_stub_results(Path("results"), Path("cohort.tsv"), int(argv[0]))
    Executor.SLEEPING_TIME = 0  # it waits 0.1 s for each job, one after another
    snakemake(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
