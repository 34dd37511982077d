"""The workflow's benchmark on a handful of cases: its numbers mean what they say."""

import json
import re
import sys

import numpy as np
import pytest

from drrx.cli.main import main
from drrx.cli.run import find_workflow
from drrx.errors import DrrxError
from drrx.scale.graph import measure_graph
from drrx.scale.overhead import compare_images, make_small_cts
from drrx.scale.rate import read_benchmarks
from drrx.scale.report import to_markdown
from drrx.scale.run import run_benchmark
from drrx.scale.settings import BenchmarkWorkflowSettings
from drrx.scale.snakemake import Project, run_measured

SNAKEFILE = find_workflow() / "Snakefile"


def test_a_process_is_timed_and_weighed(tmp_path):
    own = np.ones(100_000_000)  # 800 MB of the process that measures must not count
    spent = run_measured([sys.executable, "-c", "print('here'); block = b'1' * 200_000_000"], tmp_path)
    assert spent.said.strip() == "here"
    assert 191 < spent.peak_mb < 230
    assert own.all()
    with pytest.raises(DrrxError, match="found status 3: why"):
        run_measured([sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path)


def test_stub_results_are_believed_and_changes_still_seen(tmp_path):
    settings = BenchmarkWorkflowSettings(graph_cases=(40,), shard_sizes=(2,))
    (row,) = measure_graph(tmp_path, SNAKEFILE, settings, print)
    assert row["jobs"] == 40 * 7 + 2, "cohorts of four are cut into single cases; then the data set and the target"
    assert row["dry_s"] > 0
    assert 50 < row["resume_mb"] < 1000
    project = Project(tmp_path / "graph_40_2", SNAKEFILE)
    (project.folder / "ct" / "case-000007.nii.gz").write_bytes(b"1")
    said = project.run("--cores", "1", "--dry-run", "--quiet", "rules").said
    assert re.search(r"^total +9$", said, re.MULTILINE), "Snakemake's metadata is there: the shard of that CT would run"


def test_small_cts_differ_and_have_64_voxels_a_side(tmp_path):
    from drrx.io.nifti import read_volume

    rows = make_small_cts(tmp_path / "ct", 2)
    first, second = (read_volume(tmp_path / path) for _, path, _ in rows)
    assert first.shape == (64, 64, 64)
    assert (first.values != second.values).any()


def test_images_that_differ_end_the_measurement(tmp_path):
    for name, content in (("one", b"1"), ("two", b"1"), ("three", b"2")):
        folder = tmp_path / name / "cases" / "a" / "twin" / "pa"
        folder.mkdir(parents=True)
        (folder / "cxr.png").write_bytes(content)
    assert compare_images(tmp_path / "one", tmp_path / "two") == 1
    for other in ("three", "none"):
        with pytest.raises(DrrxError, match="images that the plain loop makes otherwise"):
            compare_images(tmp_path / other, tmp_path / "one")


def test_times_of_a_stage_add_up_over_its_shards(tmp_path):
    folder = tmp_path / "benchmarks" / "read_ct"
    folder.mkdir(parents=True)
    for name, line in (("a", "1.5\t0:00:01\t300.5"), ("b", "2.0\t0:00:02\t-")):
        (folder / f"{name}.tsv").write_text(f"s\th:m:s\tmax_rss\n{line}\n")
    assert read_benchmarks(tmp_path, "read_ct") == {"jobs": 2, "seconds": 3.5, "peak_mb": 300.5}


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(DrrxError, match=r"found files in it; needed an empty folder. Name another one with --work"):
        run_benchmark(tmp_path, SNAKEFILE, BenchmarkWorkflowSettings(), print)


REPORT = {
    "machine": {"processor": "P", "cores": 2, "python": "3.11"},
    "graph": [
        {"cases": 10000, "shard_size": 8, "jobs": 8752, "dry_s": 8.51, "dry_mb": 259, "resume_s": 7.2,
         "resume_mb": 260, "touch_s": 40.0},
    ],
    "overhead": {"cases": 200, "size_px": 256, "images": 400, "shards": 8, "workflow_s": 110.0, "loop_s": 99.0,
                 "share": 0.1},
    "rate": {"cases": 2, "variants": 4, "size_px": 1024, "cores": 2, "images": 10, "wall_s": 36.0,
             "images_per_hour": 1000.0, "bottleneck": "restore_cxr",
             "stages": [{"stage": "read_ct", "jobs": 2, "seconds": 10.0, "peak_mb": 300.0},
                        {"stage": "restore_cxr", "jobs": 2, "seconds": 30.0, "peak_mb": 900.0}]},
}  # fmt: skip


def test_the_tables_tell_what_was_measured():
    text = to_markdown(REPORT)
    assert "| 10,000 | 8 | 8,752 | 8.5 | 259 | 7.2 | 260 |" in text
    assert "| 200 | 256 | 8 | 110 | 99 | 10.0 % | 400, bit-equal |" in text
    assert "10 images in 36 s, 1000 an hour. The most time goes into `restore_cxr`." in text
    assert "| `restore_cxr` | 15.0 | 3.00 | 75 % | 900 |" in text


def test_the_command_writes_its_tables_into_a_page(tmp_path):
    page = tmp_path / "scale.md"
    marks = "<!-- begin: drrx benchmark-workflow -->", "<!-- end: drrx benchmark-workflow -->"
    page.write_text(f"{marks[0]}\nold\n{marks[1]}\n")
    options = ["--parts", "graph", "--graph-cases", "9", "--shard-sizes", "3", "--page", str(page)]
    assert main(["benchmark-workflow", "--output", str(tmp_path / "out"), *options]) == 0
    assert "| 9 | 3 | 65 |" in page.read_text()
    assert json.loads((tmp_path / "out" / "workflow.json").read_text())["graph"][0]["cases"] == 9


@pytest.mark.slow
def test_overhead_and_rate_of_a_few_cases(tmp_path):
    small = BenchmarkWorkflowSettings(
        parts=("overhead", "rate"), overhead_cases=3, overhead_px=96, rate_cases=1, rate_variants=1, rate_px=96
    )
    report = run_benchmark(tmp_path, SNAKEFILE, small, print)
    assert report["overhead"]["images"] == 3 * 2
    assert 0 < report["overhead"]["share"] < 1, "a process per job costs more than one for all"
    assert report["rate"]["images"] == 2
    assert report["rate"]["bottleneck"] in {row["stage"] for row in report["rate"]["stages"]}
