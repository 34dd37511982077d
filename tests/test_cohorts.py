"""A data set that grows: what new, moved, changed and missing rows run, by Snakemake's own count and on the bytes."""

import hashlib
import itertools
import json
import os
import shutil

import pytest

from drrx.config import STAGES
from drrx.io.nifti import write_volume
from tests.stand_in import Planner, Project, make_project
from tests.thorax import make_thorax

#: a and b each have a shard of their own; the CTs c and d share one.
SHARDS = "shard\tcase\ndemo-0001\ta\ndemo-0002\tb\nsite-0001\tc\nsite-0001\td\n"
ROWS = ("a\tphantom:1\tdemo", "b\tphantom:2\tdemo", "c\tct/c.nii.gz\tsite", "d\tct/d.nii.gz\tsite")
AFTER = {
    "read_ct": STAGES,
    "segment_anatomy": STAGES[1:],
    "sample_nodules": ("sample_nodules", *STAGES[4:]),
    "project_ct": STAGES[3:],
    "compose_drr": STAGES[4:],
    "restore_cxr": STAGES[5:],
    "annotate_cxr": STAGES[6:],
    "collect_dataset": STAGES[7:],
}


def jobs(stages=STAGES, shards=3):
    """Return the jobs of some stages over so many shards, and those that close every run."""
    return dict.fromkeys(stages, shards) | {"collect_dataset": 1, "all": 1}


def write_rows(folder, rows, name="cohort.tsv"):
    (folder / name).write_text("\n".join(["case\tpath\tcohort", *rows]) + "\n")


def write_stand_in_weights(folder, data):
    """Write a file that no stage opens, with the record without which none is used."""
    (folder / "weights").write_bytes(data)
    (folder / "weights.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  weights\n")


@pytest.fixture(scope="module")
def planner():
    planner = Planner()
    yield planner
    planner.close()


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("cohorts"))
    write_rows(project.folder, ROWS)
    for name in ("ct", "results"):
        (project.folder / name).mkdir()
    (project.folder / "results" / "shards.tsv").write_text(SHARDS)
    write_stand_in_weights(project.folder, b"first")
    for name in ("c", "d"):
        (project.folder / "ct" / f"{name}.nii.gz").write_bytes(b"12345")
    (project.folder / "config.yaml").write_text("restore_cxr: {weights: weights}\n")
    said = project.run()
    assert said.returncode == 0, said.stderr
    return project


@pytest.fixture
def finished(finished_once, tmp_path):
    shutil.copytree(finished_once.folder.parent, tmp_path / "copy")  # with times of change
    return Project(tmp_path / "copy" / "project")


# --- the DAG ---------------------------------------------------------------------------------------------------------


def test_the_stages_after_a_stage_are_those_of_the_drawing():
    """Two branches leave segment_anatomy and meet in compose_drr: the table above, from docs/pipeline.md."""
    upstream = {"sample_nodules": "segment_anatomy", "project_ct": "segment_anatomy"}
    for stage, after in AFTER.items():
        reached = {stage}
        for before, this in itertools.pairwise(STAGES):
            if upstream.get(this, before) in reached or (this == "compose_drr" and "sample_nodules" in reached):
                reached.add(this)
        assert reached == set(after)


def test_nothing_is_done_twice(finished, planner):
    assert planner.ask(finished) == {}
    assert planner.ask(finished, "--cores", "1", "--config", "shard_size=1") == {}


@pytest.mark.parametrize(
    ("rows", "shards"),
    [
        ((*ROWS, "e\tphantom:5\tdemo", "f\tphantom:6\tdemo", "g\tphantom:7\tnew"), 3),
        (("0\tphantom:5\tdemo", *ROWS[:2], "bb\tct/e.nii.gz\tsite", *ROWS[2:]), 2),
    ],
    ids=["appended", "inserted"],
)
def test_new_rows_run_new_shards_only(finished, planner, rows, shards):
    write_rows(finished.folder, rows)
    assert planner.ask(finished) == jobs(shards=shards)


def test_rows_in_another_order_are_the_same_cases(finished, planner):
    write_rows(finished.folder, ROWS[::-1])
    assert planner.ask(finished) == {"collect_dataset": 1, "all": 1}


def test_a_row_out_and_in_again_only_collects(finished, planner):
    write_rows(finished.folder, ROWS[1:])
    assert planner.ask(finished) == {"collect_dataset": 1, "all": 1}
    assert finished.run().returncode == 0
    write_rows(finished.folder, ROWS)
    assert planner.ask(finished) == {"collect_dataset": 1, "all": 1}


def test_a_row_out_of_a_shared_shard_starts_that_shard(finished, planner):
    """Its stages find everything done: test_a_case_that_leaves_its_shard_stays_on_disk shows that on the bytes."""
    write_rows(finished.folder, ROWS[:3])
    assert planner.ask(finished) == jobs(shards=1)


@pytest.mark.parametrize(
    ("option", "stage"),
    [
        ("read_ct={unannotated_nodules: refuse}", "read_ct"),
        ("make_phantom={noise_sd_hu: 20}", "read_ct"),
        ("segment_anatomy={closing_mm: 9}", "segment_anatomy"),
        ("sample_nodules={diameter_max_mm: 25}", "sample_nodules"),
        ("variants=3", "sample_nodules"),
        ("project_ct={device: cuda}", "project_ct"),
        ("compose_drr={display_gamma: 1.5}", "compose_drr"),
        ("restore_cxr={weights: weights, steps: 9}", "restore_cxr"),
        ("annotate_cxr={d_prime_visible: 1.3}", "annotate_cxr"),
        ("collect_dataset={contact_rows: 3}", "collect_dataset"),
    ],
)
def test_a_setting_runs_its_stage_and_those_after(finished_once, planner, option, stage):
    assert planner.ask(finished_once, "--config", option) == jobs(AFTER[stage])


def test_what_the_views_of_a_nodule_show_samples_again(finished_once, planner):
    both = {*AFTER["sample_nodules"], *AFTER["project_ct"]}
    assert planner.ask(finished_once, "--config", "project_ct={size_px: 64}") == jobs(both)
    assert planner.ask(finished_once, "--config", "views=[pa,ap]") == jobs(both)
    assert planner.ask(finished_once, "--config", "annotate_cxr={edge_fraction: 0.2}") == jobs(both - {"project_ct"})


@pytest.mark.parametrize("stage", STAGES)
def test_code_runs_its_stage_and_those_after(finished_once, planner, stage):
    assert planner.ask(finished_once, changed=stage) == jobs(AFTER[stage])


def test_other_weights_restore_again(finished, planner):
    write_stand_in_weights(finished.folder, b"other")
    assert planner.ask(finished) == jobs(AFTER["restore_cxr"])
    write_stand_in_weights(finished.folder, b"first")
    assert planner.ask(finished) == {}, "content counts, not the time of change"


def test_a_seed_draws_again(finished_once, planner):
    assert planner.ask(finished_once, "--config", "seed=5") == jobs(AFTER["sample_nodules"])


@pytest.mark.parametrize("content", [b"12345", b"54321", b"123456"], ids=["touched", "same size", "replaced"])
def test_a_ct_touched_or_replaced_starts_its_shard_only(finished, planner, content):
    ct = finished.folder / "ct" / "c.nii.gz"
    ct.write_bytes(content)
    os.utime(ct, ns=(10**18, 10**18))
    assert planner.ask(finished) == jobs(shards=1)


def test_another_place_is_no_change_and_changes_are_still_seen(finished, planner):
    moved = Project(finished.folder.rename(finished.folder.with_name("moved")))
    write_rows(moved.folder, ROWS, "other.tsv")
    other = ("--config", f"cohort={moved.folder / 'other.tsv'}")
    assert planner.ask(moved, *other) == {}
    assert planner.ask(moved, *other, "restore_cxr={weights: weights, steps: 9}") == jobs(AFTER["restore_cxr"])


def test_a_renamed_results_folder_is_taken_as_it_is(finished, planner):
    (finished.folder / "results").rename(finished.folder / "out")
    assert planner.ask(finished, "--config", "results=out") == {}


# --- the bytes -------------------------------------------------------------------------------------------------------

SMALL = {
    "variants": 1,
    "project_ct": {"size_px": 96},
    "sample_nodules": {"diameter_min_mm": 15, "diameter_max_mm": 20, "kind": "solid"},
    "restore_cxr": {"mode": "mean"},
}
TABLE = {name: f"{name}\tct/{name}.nii.gz\tdemo" for name in "abc"}


def write_ct(folder, name, noise_hu):
    write_volume(folder / "ct" / f"{name}.nii.gz", make_thorax(noise_hu=noise_hu).ct)


def run_stages(folder, cases):
    """Run the real stages for these rows; return what lies in the data set and, with times, in the cases' folders."""
    write_rows(folder, [TABLE[case] for case in cases])
    said = Project(folder).run("--show-failed-logs")
    assert said.returncode == 0, said.stdout + said.stderr
    return hashes(folder / "results" / "dataset"), hashes(folder / "results" / "cases", with_times=True)


def hashes(folder, with_times=False):
    """SHA-256 of each file below a folder; also when it was changed, if ``with_times``."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    facts = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return {name: (facts[name], files[name].stat().st_mtime_ns) for name in files} if with_times else facts


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A project of three small CTs; b and c share a shard."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "config.yaml").write_text(json.dumps(SMALL))
    for number, name in enumerate(TABLE):
        write_ct(folder, name, 12.0 + number)
    (folder / "results").mkdir()
    (folder / "results" / "shards.tsv").write_text("shard\tcase\ndemo-0001\tb\ndemo-0001\tc\n")
    return folder


@pytest.fixture(scope="module")
def history(small):
    """Data set and cases after each change of the cohort table."""
    return {rows: run_stages(small, rows) for rows in ("bc", "acb")} | {
        "a taken out": run_stages(small, "bc"), "a put back": run_stages(small, "acb"),
    }  # fmt: skip


def test_no_old_byte_changes_when_a_case_comes(history):
    (old, old_cases), (new, new_cases) = history["bc"], history["acb"]
    assert {name: new_cases[name] for name in old_cases} == old_cases
    assert all(name.startswith("a/") for name in new_cases.keys() - old_cases.keys())
    of_cases = {name for name in old if name.partition("/")[2].startswith(("b_", "c_"))}
    assert len(of_cases) >= 2 * 8, "image, DRR, preview and label of twin and variant of both"
    assert {name: new[name] for name in of_cases} == {name: old[name] for name in of_cases}
    changed = {name for name in old if new[name] != old[name]}
    assert {"images.csv", "nodules.csv", "annotations.json", "manifest.json", "index.html"} <= changed


def test_the_data_set_follows_a_row_that_leaves_and_nothing_is_recomputed(history):
    assert history["a taken out"][0] == history["bc"][0], "as if it had never been there, to the byte"
    assert history["a taken out"][1] == history["acb"][1], "its own files wait on disk"


def test_a_row_put_back_gives_the_same_data_set_again(history):
    assert history["a put back"] == history["acb"]


@pytest.mark.slow
def test_a_touched_ct_is_read_again_and_nothing_follows(small, history):
    os.utime(small / "ct" / "b.nii.gz")
    dataset, cases = run_stages(small, "acb")
    before = history["acb"][1]
    assert dataset == history["acb"][0]
    assert {name for name in cases if cases[name] != before[name]} <= {
        "b/ct.nii.gz", "b/case.json", "b/stages/read_ct.json"
    }  # fmt: skip
    assert cases["b/ct.nii.gz"][0] == before["b/ct.nii.gz"][0]


@pytest.mark.slow
def test_a_ct_replaced_in_place_changes_its_case_only(small, history):
    write_ct(small, "b", 25.0)
    dataset, cases = run_stages(small, "acb")
    before, old = history["acb"][1], history["acb"][0]
    assert cases["b/ct.nii.gz"][0] != before["b/ct.nii.gz"][0]
    assert dataset["images/b_twin_pa.png"] != old["images/b_twin_pa.png"]
    others = [name for name in before if not name.startswith("b/")]
    assert {name: cases[name] for name in others} == {name: before[name] for name in others}


@pytest.mark.slow
def test_a_case_that_leaves_its_shard_stays_on_disk(small, history):
    first, cases = run_stages(small, "acb")
    fewer, after = run_stages(small, "ab")
    assert after == cases
    assert not any("c_" in name for name in fewer)
    assert run_stages(small, "acb") == (first, cases)
