"""What jobs ask for: it grows with the work, covers what was measured, and doubles at every retry."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drrx.config import STAGES, load_config
from drrx.io.cohort import CohortRow
from drrx.resources import COSTS, SNAKEMAKE_MB, TYPICAL_MVOXELS, count_images, estimate_job, guess_mvoxels

ROOT = Path(__file__).parent.parent
CONFIG = load_config({})
#: Peak resident memory in MB and seconds of one case (a CT of 512 x 512 x 133, 20 variants, a sham, 1024 px; from
#: Snakemake's benchmark files, 2 cores of a Xeon under load).
MEASURED = {
    "read_ct": (805, 6), "segment_anatomy": (651, 9), "sample_nodules": (708, 44), "project_ct": (485, 8),
    "compose_drr": (319, 7), "restore_cxr": (760, 25), "annotate_cxr": (213, 4), "collect_dataset": (259, 22),
}  # fmt: skip


def make_row(path="phantom:1", **columns):
    return CohortRow(case="a", path=str(path), cohort="x", **columns)


def make_file(path, num_bytes):
    """A file of that size that takes no space."""
    with path.open("wb") as stream:
        stream.truncate(num_bytes)
    return make_row(path)


def test_every_stage_has_costs():
    assert tuple(COSTS) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_what_was_measured_fits_with_room_and_is_not_a_fifth_of_it(tmp_path, stage):
    rows = [make_file(tmp_path / "ct.nii.gz", 512 * 512 * 133)]
    asked = estimate_job(stage, rows, load_config({"variants": 20, "shams": 1}))
    memory_mb, seconds = MEASURED[stage]
    assert 1.2 * memory_mb < asked.mem_mb - SNAKEMAKE_MB < 5 * memory_mb
    assert 2 * seconds < 60 * asked.runtime


@pytest.mark.parametrize("stage", STAGES)
def test_each_attempt_asks_for_twice_as_much(stage):
    first, second, third = (estimate_job(stage, [make_row()], CONFIG, attempt) for attempt in (1, 2, 3))
    assert (second.mem_mb, second.runtime) == (2 * first.mem_mb, 2 * first.runtime)
    assert (third.mem_mb, third.runtime) == (4 * first.mem_mb, 4 * first.runtime)


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_more_cases_take_more_time_and_not_more_memory(stage):
    config = load_config({"variants": 20})
    small, large = (estimate_job(stage, [make_row()] * count, config) for count in (2, 200))
    assert small.mem_mb == large.mem_mb
    assert small.runtime < large.runtime


@pytest.mark.parametrize("stage", ["read_ct", "segment_anatomy", "sample_nodules", "project_ct"])
def test_the_largest_ct_of_a_shard_decides_on_memory(tmp_path, stage):
    small, large = (make_file(tmp_path / f"{size}.nii", size * 2_000_000) for size in (30, 300))
    alone, both = (estimate_job(stage, rows, CONFIG) for rows in ([large], [small, large, small]))
    assert alone.mem_mb == both.mem_mb > estimate_job(stage, [small], CONFIG).mem_mb


@pytest.mark.parametrize("change", [{"views": ["pa", "lateral"]}, {"variants": 40}, {"project_ct": {"size_px": 3072}}])
def test_more_views_variants_or_pixels_take_more(change):
    rows = [make_row()] * 64
    for stage in ("compose_drr", "restore_cxr", "annotate_cxr"):
        before, after = (estimate_job(stage, rows, load_config(values)) for values in ({}, change))
        assert (after.mem_mb, after.runtime) > (before.mem_mb, before.runtime)


def test_a_batch_takes_memory_of_the_restorer_only():
    large = load_config({"restore_cxr": {"batch_size": 32}})
    for stage in STAGES:
        more = estimate_job(stage, [make_row()], large).mem_mb > estimate_job(stage, [make_row()], CONFIG).mem_mb
        assert more == (stage == "restore_cxr")


def test_the_data_set_takes_memory_for_all_its_images():
    small, large = (estimate_job("collect_dataset", [make_row()] * count, CONFIG) for count in (10, 10_000))
    assert large.mem_mb - small.mem_mb > 1.4 * 0.1 * 3 * 9_990


def test_sizes_come_from_files_and_phantoms_and_are_assumed_elsewhere(tmp_path):
    assert guess_mvoxels(make_file(tmp_path / "a.nii.gz", 40_000_000), CONFIG) == 40
    assert guess_mvoxels(make_file(tmp_path / "a.mha", 40_000_000), CONFIG) == 20
    assert guess_mvoxels(make_file(tmp_path / "a.mhd", 400), CONFIG) == TYPICAL_MVOXELS
    assert guess_mvoxels(make_row(tmp_path), CONFIG) == TYPICAL_MVOXELS, "a DICOM folder is not listed"
    assert guess_mvoxels(make_row(tmp_path / "not there.nii"), CONFIG) == TYPICAL_MVOXELS
    assert guess_mvoxels(make_row(), CONFIG) == pytest.approx(47.4, abs=0.1)  # 489 x 351 x 276
    limited = load_config({"read_ct": {"max_num_voxels": 10_000_000}})
    assert guess_mvoxels(make_file(tmp_path / "b.nii", 10**9), limited) == 10, "a larger one is refused"


def test_images_are_counted_with_those_of_real_nodules():
    config = load_config({"views": ["pa", "lateral"], "variants": 3, "shams": 2})
    assert count_images(make_row(), config) == 2 * (1 + 3 + 2)
    assert count_images(make_row(annotations="nodules.csv"), config) == 2 * (1 + 3 + 2 + 1)


#: The workflow, which stops before its first job and tells what the jobs ask for.
PLAN = """
include: {snakefile!r}

onstart:
    import json, os, pathlib
    asked = [{{}}, {{}}]
    for job in workflow.dag.needrun_jobs():
        asked[0][job.rule.name] = dict(job.resources.items())
        job.attempt = 2  # as after a failure
        asked[1][job.rule.name] = dict(job.resources.items())
    pathlib.Path("asked.json").write_text(json.dumps(asked))
    os._exit(0)
"""


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1), ("auto", 1)])
def test_the_rules_ask_for_what_is_estimated_and_for_a_gpu_only_where_it_is_used(tmp_path, device, gpus):
    (tmp_path / "cohort.tsv").write_text("case\tpath\tcohort\na\tphantom:1\tdemo\n")
    (tmp_path / "config.yaml").write_text(json.dumps({"restore_cxr": {"device": device}}))
    (tmp_path / "Snakefile").write_text(PLAN.format(snakefile=str(ROOT / "Snakefile")))
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "results/dataset/manifest.json"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    attempts = json.loads((tmp_path / "asked.json").read_text())
    for number, asked in enumerate(attempts, 1):
        for stage in STAGES:
            wanted = estimate_job(stage, [make_row()], CONFIG, number)
            assert (asked[stage]["mem_mb"], asked[stage]["runtime"]) == (wanted.mem_mb, wanted.runtime)
            assert asked[stage].get("gpu", 0) == (gpus if stage == "restore_cxr" else 0)


def test_planning_reads_no_file_of_a_case(tmp_path, monkeypatch):
    folder = tmp_path / "dicom"
    folder.mkdir()
    (tmp_path / "ct.nii.gz").write_bytes(b"not a CT")
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("a folder was listed"))
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))
    for row in (make_row(folder), make_row(tmp_path / "ct.nii.gz")):
        estimate_job("read_ct", [row], CONFIG)
