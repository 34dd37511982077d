"""A small finished run through every real stage, without Snakemake, made once for all tests that look at it."""

import functools
from pathlib import Path

import numpy as np

from drrx.cli.main import main
from drrx.config import STAGES, load_config, stage_settings
from drrx.io.nifti import write_volume
from tests.thorax import make_thorax

#: Coarse and small, so that the way takes seconds; everything else is as delivered.
CONFIG = {
    "variants": 1, "shams": 1, "views": ["pa"], "make_phantom": {"in_plane_mm": 3.5, "slice_mm": 4.0},
    "project_ct": {"size_px": 128}, "sample_nodules": {"diameter_min_mm": 16, "diameter_max_mm": 20, "kind": "solid"},
    "restore_cxr": {"steps": 2}, "collect_dataset": {"preview_px": 64, "formats": ["coco", "masks"]},
}  # fmt: skip
COHORT = """\
case\tpath\tcohort\tannotations\tpatient\tlicence
p1\tphantom:1\tdemo\t\tdrawn\tApache-2.0
p2\tct.nii.gz\tdemo\tknown.nii.gz\tmade\tCC0
torn\ttorn.nii.gz\tdemo\t\t\t
"""
CASES = ("p1", "p2", "torn")


@functools.cache
def share_run(base: Path) -> Path:
    """Return the working folder of the run, below ``base``: pytest's folder for all tests.

    Cases are a phantom, a CT with a known nodule, and a file that is no CT, all in one shard.
    """
    folder = base / "small_run"
    folder.mkdir()
    thorax = make_thorax((4.0, 2.5, 2.5))
    write_volume(folder / "ct.nii.gz", thorax.ct)
    write_volume(folder / "known.nii.gz", thorax.ct.with_values(thorax.nodule.astype(np.uint8)))
    (folder / "torn.nii.gz").write_bytes(b"\x1f\x8b not a whole file")
    (folder / "cohort.tsv").write_text(COHORT)
    run_stages(folder)
    return folder


def run_stages(folder: Path) -> None:
    """Do what Snakemake does for the one shard."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    (results / "shards.tsv").write_text("shard\tcase\n" + "".join(f"demo-0001\t{case}\n" for case in CASES))
    for stage in STAGES:
        run_stage(stage, folder / "cohort.tsv", results)


def run_stage(stage: str, cohort: Path, results: Path, cases=CASES) -> None:
    """Run one job."""
    record = "dataset/manifest.json" if stage == "collect_dataset" else f"records/{stage}/demo-0001.json"
    command = ["run-stage", stage, "--cohort", str(cohort), "--results", str(results), "--seed", "7"]
    command += ["--cases", *cases, "--settings", stage_settings(load_config(CONFIG), stage)]
    assert main([*command, "--output", str(results / record)]) == 0, stage
