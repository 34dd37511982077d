"""A finished run over small phantoms, through every real stage, without Snakemake."""

from pathlib import Path

from drrx.cli.main import main
from drrx.config import STAGES, load_config, stage_settings

#: Coarse and small, so that the way takes seconds; everything else is as delivered.
CONFIG = {
    "variants": 1, "shams": 1, "views": ["pa"], "make_phantom": {"in_plane_mm": 3.5, "slice_mm": 4.0},
    "project_ct": {"size_px": 128},
    "sample_nodules": {"diameter_min_mm": 18, "diameter_max_mm": 24, "kind": "solid"},
    "restore_cxr": {"steps": 2}, "collect_dataset": {"preview_px": 64, "formats": ["coco", "masks"]},
}  # fmt: skip


def make_run(folder: Path, rows: list[str], header: str = "case\tpath\tcohort", config=None) -> Path:
    """Run all stages over one shard of cases and return the folder of the results."""
    cohort, results = folder / "cohort.tsv", folder / "results"
    cohort.write_text("\n".join([header, *rows]) + "\n")
    results.mkdir(exist_ok=True)
    cases = [row.split("\t")[0] for row in rows]
    shards = [f"demo-0001\t{case}" for case in cases]
    (results / "shards.tsv").write_text("\n".join(["shard\tcase", *shards]) + "\n")
    checked = load_config(config or CONFIG)
    for stage in STAGES:
        is_last = stage == "collect_dataset"
        output = results / ("dataset/manifest.json" if is_last else f"records/{stage}/demo-0001.json")
        command = ["run-stage", stage, "--cohort", str(cohort), "--results", str(results), "--seed", "7"]
        command += ["--cases", *cases, "--settings", stage_settings(checked, stage), "--output", str(output)]
        assert main(command) == 0, stage
    return results
