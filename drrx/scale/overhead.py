"""What the workflow costs above the work: Snakemake and a process per job, against one process that does it all.

Both do the same stages on the same small CTs on one core, and their images must be the same.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from drrx.config import STAGES, load_config, stage_fingerprint, stage_settings
from drrx.errors import DrrxError
from drrx.io.cohort import read_cohort
from drrx.io.files import sha256_file
from drrx.io.nifti import write_volume
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.scale.settings import BenchmarkWorkflowSettings
from drrx.scale.snakemake import ONE_THREAD, Project, run_measured
from drrx.stages.batch import CaseJob, run_batch
from drrx.stages.collect_dataset import collect
from drrx.stages.layout import CaseFolder
from drrx.stages.registry import load_stage

#: 64 x 64 x 64 voxels.
SMALL_CT = MakePhantomSettings(in_plane_mm=6.875, slice_mm=6.46875, depth_mm=440.0)
DRAWN = 4
NOISE_HU = 10.0


def measure_overhead(
    folder: Path, snakefile: Path, settings: BenchmarkWorkflowSettings, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Return the wall times of workflow and loop in s, the share of the first that the second does not need."""
    project = Project(folder / "overhead", snakefile)
    config = {
        "variants": 1, "project_ct": {"size_px": settings.overhead_px},
        "read_ct": {"max_pixel_spacing_mm": 8, "max_slice_spacing_mm": 8},
    }  # fmt: skip
    rows = make_small_cts(project.folder / "ct", settings.overhead_cases)
    project.write(rows, config)
    # Compiled code is kept on disk: neither of the two shall pay for it.
    Project(folder / "warm_up", snakefile).write([("warm-up", str(project.folder / rows[0][1]), "small")], config)
    run_loop(folder / "warm_up")
    workflow = project.run("--cores", "1")
    progress(f"Snakemake, {settings.overhead_cases} cases: {workflow.seconds:.0f} s")
    (project.folder / "results").rename(project.folder / "by_snakemake")
    loop_s = run_loop(project.folder)
    progress(f"plain loop: {loop_s:.0f} s")
    images = compare_images(project.folder / "by_snakemake", project.folder / "results")
    return {
        "cases": settings.overhead_cases, "size_px": settings.overhead_px, "images": images,
        "shards": len(list((project.folder / "by_snakemake" / "records" / "read_ct").iterdir())),
        "workflow_s": workflow.seconds, "loop_s": loop_s, "share": 1 - loop_s / workflow.seconds,
    }  # fmt: skip


def make_small_cts(folder: Path, number: int) -> list[tuple[str, str, str]]:
    """Draw a few phantoms and write ``number`` CTs from them, each with noise of its own; return their rows."""
    drawn = [make_phantom(seed, SMALL_CT).ct for seed in range(1, 1 + min(DRAWN, number))]
    rows = []
    for index in range(number):
        ct = drawn[index % len(drawn)]
        noise = np.random.default_rng(index).normal(0, NOISE_HU, ct.shape)
        name = f"small-{index:05d}"
        write_volume(folder / f"{name}.nii.gz", ct.with_values(np.rint(ct.values + noise).astype(np.int16)))
        rows.append((name, f"ct/{name}.nii.gz", "small"))
    return rows


def run_loop(folder: Path) -> float:
    """Run all stages over the cohort of ``folder`` in one process; return its wall time in s, start included."""
    return run_measured([sys.executable, "-m", "drrx.scale.overhead"], folder, ONE_THREAD).seconds


def compare_images(first: Path, second: Path) -> int:
    """Return how many CXRs both hold; a ``DrrxError`` when they differ, for then they did not do the same work."""
    names = sorted(path.relative_to(first) for path in first.glob("cases/*/*/*/cxr.png"))
    differing = [name for name in names if sha256_file(first / name) != sha256_file(second / name)]
    if differing or not names:
        raise DrrxError(
            where=str(first), found=f"{len(differing)} of {len(names)} images that the plain loop makes otherwise",
            needed="the same images", hint="Report it: results must not depend on how the stages are started.",
        )  # fmt: skip
    return len(names)


def main() -> None:
    """Run all stages over the cohort in the working folder, a case after another."""
    config = load_config(json.loads(Path("config.yaml").read_text(encoding="utf-8")))
    rows, results = read_cohort(Path("cohort.tsv")), Path("results")
    for stage in STAGES[:-1]:
        settings = json.loads(stage_settings(config, stage))
        jobs = [CaseJob(row, CaseFolder(results, row.case), settings, config.seed) for row in rows]
        run_batch(load_stage(stage), jobs, stage_fingerprint(stage))
    collect(results, rows, json.loads(stage_settings(config, STAGES[-1])), config.seed)


if __name__ == "__main__":
    main()
