"""Images per hour from CT to annotated CXR, and which stage they wait for."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drrx.config import STAGES
from drrx.io.files import read_json
from drrx.io.nifti import write_volume
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.scale.settings import BenchmarkWorkflowSettings
from drrx.scale.snakemake import Project


def measure_rate(
    folder: Path, snakefile: Path, settings: BenchmarkWorkflowSettings, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Return wall time, images, images per hour, and per stage the s of all its jobs and the MB of the largest.

    The CTs are phantoms of the delivered settings, drawn before the clock starts. Compiled code is on disk: a run over
    the first CT without a variant goes before, untimed.
    """
    project = Project(folder / "rate", snakefile)
    rows = []
    for seed in range(1, 1 + settings.rate_cases):
        name = f"drawn-{seed}"
        write_volume(project.folder / "ct" / f"{name}.nii.gz", make_phantom(seed, MakePhantomSettings()).ct)
        rows.append((name, f"ct/{name}.nii.gz", "drawn"))
    size = {"project_ct": {"size_px": settings.rate_px}}
    project.write(rows[:1], {"results": "warm_up", "variants": 1, **size})
    project.run("--cores", str(settings.cores))
    project.write(rows, {"variants": settings.rate_variants, **size})
    spent = project.run("--cores", str(settings.cores))
    results = project.folder / "results"
    images = int(read_json(results / "summary.json")["counts"]["images"])
    stages: list[dict[str, Any]] = [{"stage": stage, **read_benchmarks(results, stage)} for stage in STAGES]
    rate = 3600 * images / spent.seconds
    progress(f"{images} images in {spent.seconds:.0f} s: {rate:.0f} an hour")
    return {
        "cases": settings.rate_cases, "variants": settings.rate_variants, "size_px": settings.rate_px,
        "cores": settings.cores, "images": images, "wall_s": spent.seconds, "images_per_hour": rate, "stages": stages,
        "bottleneck": max(stages, key=lambda row: row["seconds"])["stage"],
    }  # fmt: skip


def read_benchmarks(results: Path, stage: str) -> dict[str, float]:
    """Return what Snakemake measured of a stage: wall time of its jobs together, memory of the largest."""
    folder = results / "benchmarks"
    files = sorted((folder / stage).glob("*.tsv")) or [folder / f"{stage}.tsv"]
    seconds, peak_mb = 0.0, 0.0
    for file in files:
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                seconds += float(row["s"])
                peak_mb = max(peak_mb, float(row["max_rss"]) if row["max_rss"] not in ("-", "NA") else 0.0)
    return {"jobs": len(files), "seconds": seconds, "peak_mb": peak_mb}
