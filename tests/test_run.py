"""`drrx run` is Snakemake, called in the open."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from drrx.cli import run
from drrx.cli.main import make_parser
from drrx.io.owner import take
from tests.faults.driver import find_processes
from tests.stand_in import ROOT, make_project


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(run, "find_limits", lambda: ["--resources", "mem_mb=16000", "gpu=2"])


def parse(*options):
    args = make_parser().parse_args(["run", *options])
    return run.make_command(args.profile, args.snakemake)


BEFORE = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nolock"]
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


# --- one run at a time -----------------------------------------------------------------------------------------------


def test_cases_that_were_refused_are_told_by_the_exit_status(tmp_path):
    project = make_project(tmp_path)
    said = start(project, "--cores", "2", "--allow-refused")
    assert said.returncode == 0, said.stderr
    assert said.stderr.endswith("drrx run: 1 cases refused: NO_LUNGS 1\n")
    said = start(project, "--cores", "1")  # nothing is to be done; the case is still not in the data set
    assert said.returncode == 8, said.stderr
    assert said.stderr.endswith("drrx run: 1 cases refused: NO_LUNGS 1; exit status 8 (--allow-refused: 0)\n")
    for other in (["--dry-run"], ["--until", "read_ct"], ["results/summary.json"]):
        assert start(project, "--cores", "1", *other).returncode == 0, other
    assert not list((project.folder / "results").glob(".drrx-*")), "the lock is given back"


def test_a_second_run_from_another_folder_is_told_who_owns_the_results(tmp_path):
    project = make_project(tmp_path / "here")
    other = make_project(tmp_path / "there")
    results = f"results={project.folder / 'results'}"
    owner = take(project.folder / "results")
    plain = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    for command in ([sys.executable, "-m", "drrx", "run", "--cores", "1"], plain):
        begun = time.monotonic()
        said = other.run("--config", results, command=command)
        assert said.returncode == 1
        assert "drrx: error [OUTPUT_BUSY]: the folder " in said.stderr + said.stdout
        assert f"process {os.getpid()} on " in said.stderr + said.stdout
        assert time.monotonic() - begun < 20, "five seconds on a machine with nothing else to do"
    assert start(other, "--dry-run", "--config", results).returncode == 0
    assert not (project.folder / "calls.txt").exists()
    assert not (other.folder / "calls.txt").exists()
    said = start(other, "--break-lock", "--until", "read_ct", "--cores", "2", "--config", results)
    assert said.returncode == 0, said.stderr
    owner.give_back()


HOLD = """
import os, sys, time
if "run-stage" in sys.orig_argv and "segment_anatomy" in sys.orig_argv:
    if not os.path.exists("held"):
        open("held", "w").close()
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_or_stopped_a_plain_run_goes_on_at_once(tmp_path, number):
    project = make_project(tmp_path)
    stand_in = tmp_path / "stand_in" / "sitecustomize.py"
    stand_in.write_text(HOLD + stand_in.read_text())
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "stand_in")}
    command = [sys.executable, "-m", "drrx", "run", "--cores", "1"]
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(command, cwd=project.folder, env=environment, stdout=said, stderr=said)
    deadline = time.monotonic() + 60
    while not (project.folder / "held").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(number)
    begun = time.monotonic()
    assert driver.wait(timeout=30) == (143 if number == signal.SIGTERM else -number), (tmp_path / "said").read_text()
    assert time.monotonic() - begun < 20
    said = start(project, "--cores", "1")
    assert said.returncode == 8, said.stderr
    calls = (project.folder / "calls.txt").read_text().splitlines()
    assert [call.split()[0] for call in calls].count("read_ct") == 2, "what was done is not done again"
    for pid in find_processes(project.folder, "run-stage"):
        os.kill(pid, signal.SIGKILL)
