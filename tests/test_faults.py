"""A handful of the faults of `make test-faults`: the rest after each is as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from drrx.io.caches import place_caches
from drrx.io.child import run_child
from tests.faults.stages import Zygote
from tests.faults.workshop import CONFIG, ROOT, Workshop
from tests.small_run import share_run


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A copy of the small run that many tests share, with the times of its files."""
    workshop = Workshop(tmp_path_factory.mktemp("faults") / "work")
    shutil.copytree(share_run(tmp_path_factory.getbasetemp()), workshop.folder)
    return workshop


@pytest.fixture(scope="module")
def zygote(workshop):
    with Zygote(workshop) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def undisturbed(workshop):
    return workshop.expect()


#: Stages that take well under a second each.
QUICK = ("project_ct", "compose_drr", "annotate_cxr", "collect_dataset")


@pytest.mark.parametrize("stage", QUICK)
def test_killed_stopped_and_failed_a_stage_goes_on_as_if_nothing_had_happened(workshop, zygote, undisturbed, stage):
    tree, rng = undisturbed, random.Random(stage)
    workshop.findings.clear()
    for name in tree:  # what this stage and those after it make
        if f"/{stage}." in name or "dataset/" in name:
            (workshop.results / name).unlink(missing_ok=True)
    record = next(
        name for name in tree if name.endswith(f"cases/p1/stages/{stage}.json") or name == "dataset/manifest.json"
    )
    (workshop.results / record).unlink(missing_ok=True)
    assert zygote.run(stage, CONFIG, {"kind": "kill", "at": rng.randint(1, 60)}) == -signal.SIGKILL
    workshop.check("killed")
    assert zygote.run(stage, CONFIG, {"kind": "term", "at": 1}) == 143
    workshop.check("stopped")
    assert zygote.run(stage, CONFIG, {"kind": "error", "at": 1, "number": 28, "lasting": True}) == 1
    assert "[DISK_FULL]: no space left on the disk" in zygote.said()
    assert "Traceback" not in zygote.said()
    assert zygote.run(stage, CONFIG) == 0
    workshop.compare({name: sha256 for name, sha256 in tree.items() if (workshop.results / name).exists()}, stage)
    assert workshop.findings == []


@pytest.mark.slow
def test_all_faults_a_few_times_each():
    said = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--kills", "30", "--terms", "15", "--full", "8", "--seed", "1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout[-6000:] + said.stderr[-3000:]


# --- a command that ends with us -------------------------------------------------------------------------------------

PARENT = """
import sys
from drrx.io.child import run_child
ended = run_child([sys.executable, "-u", "-c", sys.argv[1]], {})
print(ended.told.decode(), flush=True)
sys.exit(ended.status)
"""
#: Starts a job that writes its id, as a shell would; both then wait.
CHILD = """
import os, signal, subprocess, sys, time
job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), job.pid, flush=True)
{then}
"""
WAIT = "job.wait()"
#: Snakemake on SIGTERM: it waits for its jobs.
GRACEFUL = "signal.signal(signal.SIGTERM, lambda *_: None)\njob.wait()\nprint('done', flush=True)\nsys.exit(1)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAIT


class Family:
    def __init__(self, then, early_s=""):
        code = PARENT.replace("import sys\n", f"import sys\nimport drrx.io.child as c\n{early_s}\n", 1)
        command = [sys.executable, "-c", code, CHILD.format(then=then)]
        self.parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.child, self.job = map(int, self.parent.stdout.readline().split())
        time.sleep(0.1)

    def end(self, number):
        self.parent.send_signal(number)
        status = self.parent.wait(timeout=30)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and is_alive(self.child):
            time.sleep(0.02)
        if number == signal.SIGKILL:  # its jobs hold the other end
            return status, ""
        return status, self.parent.stdout.read()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
            return stream.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("then", [WAIT, GRACEFUL])
def test_sigterm_ends_the_command_and_its_jobs(then):
    family = Family(then)
    status, said = family.end(signal.SIGTERM)
    assert status == 143
    assert not is_alive(family.child)
    assert not is_alive(family.job)
    assert ("done" in said) == (then == GRACEFUL), "the command may end in its own way"


def test_what_does_not_heed_sigterm_is_killed():
    family = Family(DEAF, early_s="c.LAST_S = 1.0")
    assert family.end(signal.SIGTERM)[0] == 143
    assert not is_alive(family.child)
    assert not is_alive(family.job)


def test_ctrl_c_is_passed_on_and_the_status_is_the_commands():
    family = Family("try:\n    job.wait()\nexcept KeyboardInterrupt:\n    job.wait()\n    sys.exit(5)")
    assert family.end(signal.SIGINT)[0] == 5
    assert not is_alive(family.job)


def test_kill_9_takes_the_command_along_and_leaves_its_jobs():
    family = Family(WAIT)
    assert family.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert not is_alive(family.child)
    assert is_alive(family.job)
    os.kill(family.job, signal.SIGKILL)


def test_when_the_command_is_killed_its_jobs_are_ended():
    family = Family(WAIT)
    os.kill(family.child, signal.SIGKILL)
    family.parent.communicate(timeout=30)
    assert family.parent.returncode == 137
    assert not is_alive(family.job)


def test_the_command_can_tell_and_its_status_is_passed_on():
    code = "from drrx.io.child import tell_parent\ntell_parent(b'hello')\nraise SystemExit(3)"
    ended = run_child([sys.executable, "-c", code])
    assert (ended.status, ended.told) == (3, b"hello")


# --- SIGTERM in a command --------------------------------------------------------------------------------------------

BUSY = """
import sys, time
from pathlib import Path
from drrx.cli import main as cli
import drrx.io.ending as ending
ending.PATIENCE_S, ending.LAST_S = 0.5, 2
from drrx.io.files import write_whole
def work(args):
    with write_whole(Path(sys.argv[1])) as path:
        path.write_text("half")
        print("busy", flush=True)
        {busy}
class Parser:
    def parse_args(self, argv):
        import argparse
        return argparse.Namespace(command="try", run=work)
cli.make_parser = Parser
sys.exit(cli.main())
"""
SWALLOW = """while True:
            try:
                time.sleep(60)
            except BaseException:
                pass"""
#: Compiled code that holds the interpreter: nothing of Python runs any more.
HOLD = "import itertools; sum(itertools.repeat(1))"


@pytest.mark.parametrize(
    ("busy", "status", "is_clean"),
    [("time.sleep(60)", 143, True), (SWALLOW, 143, True), (HOLD, -signal.SIGKILL, False)],
    ids=["Python", "swallowed", "compiled"],
)
def test_a_command_ends_in_time_whatever_it_is_at(tmp_path, busy, status, is_clean):
    code = BUSY.replace("{busy}", busy)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"busy\n"
    time.sleep(0.5)
    process.terminate()
    assert process.wait(timeout=20) == status
    assert process.stdout.read() == b"", "its watchdog ends with it"
    assert (list(tmp_path.iterdir()) == []) == is_clean
    process.stdout.close()


# --- no home ---------------------------------------------------------------------------------------------------------


def test_without_a_home_libraries_keep_their_files_among_the_temporary_ones(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    place_caches()
    assert "XDG_CACHE_HOME" not in os.environ
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for home in (str(tmp_path / "none" / "home"), "/proc/self/fdinfo"):
        monkeypatch.setenv("HOME", home)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        place_caches()
        assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / f"drrx-cache-{os.getuid()}")
    assert (tmp_path / f"drrx-cache-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_cache_that_somebody_else_put_there_is_not_used(tmp_path, monkeypatch):
    """numba runs what lies in its cache."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/nonexistent/cache")
    monkeypatch.setenv("MPLCONFIGDIR", "kept")
    monkeypatch.setenv("TRITON_CACHE_DIR", "kept")
    (tmp_path / f"drrx-cache-{os.getuid()}").mkdir()
    (tmp_path / f"drrx-cache-{os.getuid()}").chmod(0o777)
    place_caches()
    assert os.environ["XDG_CACHE_HOME"] != str(tmp_path / f"drrx-cache-{os.getuid()}")
    assert os.environ["MPLCONFIGDIR"] == "kept"
