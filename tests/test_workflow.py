"""What the workflow runs again after which change: the real Snakefile, with a stand-in for the stages."""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from drrx.cli.run import find_workflow, make_command
from drrx.config import STAGES
from drrx.errors import DrrxError
from tests.stand_in import ROOT, Project, make_project

EVERY_STAGE = dict.fromkeys(STAGES, 1) | {"all": 1}


@pytest.fixture
def fresh(tmp_path):
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("workflow"))
    said = project.run()
    assert said.returncode == 0, said.stderr
    return project, said


@pytest.fixture
def finished(finished_once, tmp_path):
    shutil.copytree(finished_once[0].folder.parent, tmp_path / "copy")  # with times of change
    return Project(tmp_path / "copy" / "project")


def test_a_dry_run_tells_every_job_and_writes_nothing(fresh):
    assert fresh.planned() == dict.fromkeys(STAGES, 2) | {"collect_dataset": 1, "all": 1}
    assert fresh.files() == ["cohort.tsv"]


def test_training_has_targets_of_its_own(fresh):
    (fresh.folder / "films.csv").write_text("file,patient\n")
    told = fresh.planned("train_restorer", "--config", "train={images: films.csv}")
    assert told == {"train_lq": 2, "make_lq": 2, "train_system": 2, "evaluate_restorer": 1, "train_restorer": 1}
    said = fresh.run("--dry-run", "train_restorer")
    assert "Set train.images and train.drrs in config.yaml" in said.stdout + said.stderr


def test_a_run_makes_the_data_set_logs_and_benchmarks(finished_once):
    project, said = finished_once
    files = project.files()
    assert "results/dataset/manifest.json" in files
    for stage in STAGES[:-1]:
        for name in ("records/{}/demo-0002.json", "logs/{}/demo-0002.log", "benchmarks/{}/demo-0002.tsv"):
            assert f"results/{name.format(stage)}" in files
    assert (project.folder / "results" / "shards.tsv").read_text() == "shard\tcase\ndemo-0001\ta\ndemo-0002\tb\n"
    assert "data set in results/dataset (index.html), cases 1 refused: b (NO_LUNGS)" in said.stdout + said.stderr


def test_a_run_tells_how_far_it_came_and_what_its_stages_cost(finished_once):
    project, said = finished_once
    told = said.stdout + said.stderr
    assert "drrx: 100 %: cases 2 done, 0 refused, 0 left of 2; " in told
    for stage in STAGES:
        assert re.search(rf"^{stage} +{1 if stage == 'collect_dataset' else 2} ", told, re.MULTILINE), stage
    table = (project.folder / "results" / "benchmarks" / "summary.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in table] == ["stage", *STAGES]


def test_what_is_done_is_not_done_again(finished):
    (finished.folder / "moved.tsv").write_text((finished.folder / "cohort.tsv").read_text())
    assert finished.planned("--cores", "1", "--config", f"cohort={finished.folder / 'moved.tsv'}") == {}


def test_keeping_less_runs_nothing_again(finished):
    assert finished.planned("--config", "keep=dataset") == {}


def test_a_restorer_number_runs_restoration_and_what_follows(finished):
    (finished.folder / "config.yaml").write_text("restore_cxr:\n  alpha: 0.25\n")
    assert finished.planned() == {"restore_cxr": 2, "annotate_cxr": 2, "collect_dataset": 1, "all": 1}
    assert finished.planned("--config", "restore_cxr={alpha: 1.0}") == {}, "the command line wins"


def test_a_new_row_runs_that_row_only(finished):
    finished.write_cohort("0-sorts-first", "a", "b")
    assert finished.planned() == EVERY_STAGE
    assert finished.run().returncode == 0
    table = (finished.folder / "results" / "shards.tsv").read_text()
    assert table == "shard\tcase\ndemo-0001\ta\ndemo-0002\tb\ndemo-0003\t0-sorts-first\n"
    assert finished.planned() == {}


def test_a_row_taken_out_leaves_the_others_alone(finished):
    finished.write_cohort("b")
    assert finished.planned() == {"collect_dataset": 1, "all": 1}


def test_another_path_or_file_reads_the_case_again(finished):
    finished.write_cohort("a", "b", path="no/such/ct.nii.gz")
    assert finished.run().returncode == 0, "a missing CT is refused by its stage, not by Snakemake"
    (finished.folder / "no" / "such").mkdir(parents=True)
    (finished.folder / "no" / "such" / "ct.nii.gz").write_bytes(b"now it is there")
    assert finished.planned()["read_ct"] == 2


def test_the_seed_runs_what_draws(finished):
    expected = {"sample_nodules": 2, "compose_drr": 2, "restore_cxr": 2, "annotate_cxr": 2}
    assert finished.planned("--config", "seed=5") == expected | {"collect_dataset": 1, "all": 1}


def test_a_failed_stage_is_taken_up_where_it_stopped(fresh):
    said = fresh.run("--keep-going", "--show-failed-logs", fails="compose_drr")
    assert said.returncode != 0
    assert "the stage says why" in said.stdout + said.stderr
    assert "drrx: not finished. Run it again to go on; logs of the jobs in results/logs" in said.stdout + said.stderr
    assert "cases 0 done, 0 refused, 2 left of 2" in said.stdout + said.stderr
    assert fresh.planned() == {
        "compose_drr": 2, "restore_cxr": 2, "annotate_cxr": 2, "collect_dataset": 1, "all": 1
    }  # fmt: skip


def test_cases_and_folders_with_odd_names_reach_the_stage_whole(fresh):
    fresh.write_cohort("a", "b", path='it\'s a "folder" $HOME; & more/ct.nii')
    assert fresh.run("--config", "results=out of the way", "shard_size=1").returncode == 0
    calls = (fresh.folder / "calls.txt").read_text().splitlines()
    assert all("--results out of the way --seed 0" in call for call in calls)
    first = next(call for call in calls if call.startswith("sample_nodules demo-0002"))
    assert "--cases b --upstream out of the way/records/segment_anatomy/demo-0002.json --settings {" in first


def test_a_wrong_key_is_told_without_a_traceback(fresh):
    said = fresh.run("--dry-run", "--config", "restore_cxr={stepps: 3}")
    assert said.returncode != 0
    assert "restore_cxr.stepps: found an unknown key; needed one of steps" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr


def test_the_workflow_is_linted():
    said = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr


def test_a_shard_that_was_begun_is_finished_before_the_next(fresh):
    fresh.write_cohort(*"abcdef")
    assert fresh.run("--cores", "1").returncode == 0
    shards = [call.split()[1] for call in (fresh.folder / "calls.txt").read_text().splitlines()]
    per_shard = [shards[start : start + 7] for start in range(0, 42, 7)]
    assert all(len(set(some)) == 1 for some in per_shard)


def test_a_report_can_be_made(finished):
    assert finished.run("--report", "report.html").returncode == 0
    assert (finished.folder / "report.html").stat().st_size > 100_000


def test_drrx_run_adds_profile_and_workflow(fresh):
    command = make_command("default", ["--dry-run", "--config", "variants=0"])
    said = fresh.run(command=[*command[:3], "drrx", "run", *command[command.index("--dry-run") :]])
    assert said.returncode == 0, said.stderr
    assert "Using workflow specific profile" in said.stdout + said.stderr
    assert "restore_cxr" in said.stdout + said.stderr


def test_a_profile_that_is_not_there_is_told():
    with pytest.raises(DrrxError, match="--profile: found 'slrum'; needed one of default, slurm, or the folder"):
        make_command("slrum", [])


def test_a_cluster_profile_without_its_executor_is_told(tmp_path):
    (tmp_path / "profile.yaml").write_text("executor: slurm\n")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        assert make_command(str(tmp_path), [])[-1] == str(tmp_path)
    else:
        with pytest.raises(DrrxError, match="pip install snakemake-executor-plugin-slurm"):
            make_command(str(tmp_path), [])


def test_the_workflow_inside_a_wheel_comes_first(tmp_path):
    package = tmp_path / "drrx"
    with pytest.raises(DrrxError, match="Install drrx again"):
        find_workflow(package)
    for folder in (tmp_path, package / "_workflow"):
        (folder / "workflow" / "rules").mkdir(parents=True)
        (folder / "Snakefile").touch()
        assert find_workflow(package) == folder
