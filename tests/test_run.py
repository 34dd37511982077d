"""`drrx run` is Snakemake, called in the open."""

import shlex
import subprocess
import sys

import pytest

from drrx.cli import run
from drrx.cli.main import make_parser
from tests.stand_in import ROOT, make_project


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(run, "find_limits", lambda: ["--resources", "mem_mb=16000", "gpu=2"])


def parse(*options):
    args = make_parser().parse_args(["run", *options])
    return run.make_command(args.profile, args.snakemake)


BEFORE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nolock"]
PROFILE = ["--workflow-profile", str(ROOT / "workflow" / "profiles" / "default")]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], []),
        (["--dry-run"], ["--dry-run"]),
        (["-np"], ["-np"]),
        (["--cores", "4", "--until", "compose_drr"], ["--cores", "4", "--until", "compose_drr"]),
        (["--config", "cohort=my.tsv", "variants=4"], ["--config", "cohort=my.tsv", "variants=4"]),
        (["--profile", "default", "train_restorer"], ["train_restorer"]),
        (["--cores", "2", "--", "--forcerun", "restore_cxr"], ["--cores", "2", "--forcerun", "restore_cxr"]),
        (["--", "results/summary.json"], ["results/summary.json"]),
    ],
)
def test_all_options_but_the_profile_are_snakemakes(machine, given, passed):
    assert parse(*given) == [*BEFORE, "--resources", "mem_mb=16000", "gpu=2", *PROFILE, *passed]


def test_limits_that_are_given_win(machine):
    for given in (["--resources", "gpu=1"], ["--resources=gpu=1"], ["--res", "gpu=1"]):
        assert parse(*given) == [*BEFORE, *PROFILE, *given]


def test_a_cluster_has_no_limits_of_this_machine(machine, tmp_path):
    (tmp_path / "profile.yaml").write_text("# executor: local\nexecutor: some-cluster\n")
    assert parse("--profile", str(tmp_path)) == [*BEFORE, "--workflow-profile", str(tmp_path)]


def test_the_machine_tells_its_memory_and_its_gpus_only_where_it_has_some(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    option, memory = run.find_limits()
    assert option == "--resources"
    assert 100 < int(memory.removeprefix("mem_mb=")) < 10**9
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert run.find_limits()[2] == "gpu=2"


def start(project, *options, fails=""):
    return project.run(command=[sys.executable, "-m", "drrx", "run", *options], fails=fails)


def test_what_is_printed_is_what_is_run_and_its_exit_status_is_passed_on(tmp_path):
    project = make_project(tmp_path)
    said = start(project, "--cores", "1", "--until", "read_ct", "--config", "results=out of the way")
    assert said.returncode == 0, said.stderr
    first = said.stderr.splitlines()[0]
    assert first.startswith("drrx run: ")
    command = shlex.split(first.removeprefix("drrx run: "))
    assert command[-6:] == ["--cores", "1", "--until", "read_ct", "--config", "results=out of the way"]
    again = subprocess.run([*command, "--dry-run"], cwd=project.folder, capture_output=True, text=True, check=False)
    assert again.stdout.split("total")[1].split()[0] == "0", "a plain snakemake user gets the same"
    assert sorted(path.name for path in (project.folder / "out of the way" / "records").iterdir()) == ["read_ct"]
    failed = start(project, "--cores", "1", fails="segment_anatomy")
    assert failed.returncode == 1
    assert "drrx: not finished" in failed.stdout + failed.stderr


def test_a_job_that_failed_is_tried_once_more(tmp_path):
    project = make_project(tmp_path)
    start(project, "--cores", "1", "--until", "segment_anatomy", fails="segment_anatomy")
    calls = (project.folder / "calls.txt").read_text().splitlines()
    assert [call.split()[:2] for call in calls].count(["segment_anatomy", "demo-0001"]) == 2


def test_a_target_after_the_limits_is_a_target(tmp_path):
    project = make_project(tmp_path)
    said = start(project, "results/records/read_ct/demo-0001.json", "--cores", "1", "--dry-run")
    assert said.returncode == 0, said.stderr
    assert "total" in said.stdout + said.stderr
    assert "segment_anatomy" not in said.stdout.partition("Reasons")[0]
