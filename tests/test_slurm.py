"""The workflow on a real SLURM cluster of this machine, with jobs and the head process killed: `make test-slurm`.

Two small cohorts are compared byte by byte: one made by this machine's processes, one by SLURM jobs of which one was
killed, one taken off its node and put back into the queue, and one lost together with the head process.
"""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from drrx.config import STAGES
from tests.slurm_cluster import SlurmCluster, wait_until, why_not

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(why_not()), reason=why_not() or "never")]

ROOT = Path(__file__).parent.parent
#: Coarse and small; all else is as delivered.
CONFIG = """\
variants: 1
make_phantom: {in_plane_mm: 3.5, slice_mm: 5.0}
project_ct: {size_px: 128}
sample_nodules: {diameter_min_mm: 15, diameter_max_mm: 25}
"""
CASES = ("a", "b", "c")
SHARDS = "shard\tcase\ndemo-0001\ta\ndemo-0001\tb\ndemo-0002\tc\n"  # the first holds two, so that one can be midway
#: What this cluster needs beside the profile: names of partitions, fewer seconds between questions, and a GPU although
#: the network runs on the CPU.
ON_SLURM = shlex.split("""
--profile slurm
--jobs 4 --default-resources slurm_account=none slurm_partition=cpu
--set-resources restore_cxr:gpu=1 restore_cxr:slurm_partition=gpu
--slurm-status-command squeue --slurm-init-seconds-before-status-checks 1 --seconds-between-status-checks 1
""")
#: Python runs this at its start. A job tells its GPU, and stops before the record named in `hold` gets its name.
WATCH = """
import os, sys, time
from pathlib import Path
if "run-stage" in sys.orig_argv and "SLURM_JOB_ID" in os.environ:
    here, job = Path(__file__).parent, os.environ["SLURM_JOB_ID"]
    (here / f"gpus-of-{job}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    def watch(event, args):
        hold = here / "hold"
        if event == "os.rename" and hold.exists() and str(args[1]).endswith(hold.read_text()):
            (here / "writing").write_text(f"{job} {os.getpid()}")
            (here / "writing").rename(here / "held")
            while hold.exists():
                time.sleep(0.05)
    sys.addaudithook(watch)
"""


class Project:
    """A working folder, and beside it the folder by which jobs are watched and held."""

    def __init__(self, folder: Path):
        self.folder, self.watch = folder / "project", folder / "watch"
        for path in (self.folder / "results", self.watch):
            path.mkdir(parents=True)
        (self.folder / "config.yaml").write_text(CONFIG)
        rows = [f"{case}\tphantom:{seed}\tdemo\n" for seed, case in enumerate(CASES, 1)]
        (self.folder / "cohort.tsv").write_text("case\tpath\tcohort\n" + "".join(rows))
        (self.folder / "results" / "shards.tsv").write_text(SHARDS)
        (self.watch / "sitecustomize.py").write_text(WATCH)

    def start(self, *options: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
        """Start ``drrx run`` as the head process."""
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "drrx", "run", *options], cwd=self.folder, stdout=said, stderr=said,
                env=(environment or os.environ) | {"PYTHONPATH": f"{self.watch}{os.pathsep}{ROOT}"},
            )  # fmt: skip

    def finish(self, head: subprocess.Popen, seconds: float) -> str:
        """Wait for the head process and return what all said; it must have ended well."""
        try:
            status = head.wait(timeout=seconds)
        finally:
            head.kill()
        said = (self.folder / "said.txt").read_text()
        assert status == 0, said[-6000:]
        return said

    def hold(self, record: str) -> None:
        """Let the next job that writes ``record`` stop before the file gets its name."""
        (self.watch / "held").unlink(missing_ok=True)
        (self.watch / "soon").write_text(record)
        (self.watch / "soon").rename(self.watch / "hold")

    def held(self, head: subprocess.Popen) -> tuple[str, int]:
        """Wait for that job; return its id and the id of its process."""
        held = self.watch / "held"
        wait_until(lambda: held.exists() or head.poll() is not None, "a job to hold", 240)
        assert held.exists(), (self.folder / "said.txt").read_text()[-6000:]
        job, pid = held.read_text().split()
        return job, int(pid)

    def finished_ns(self) -> int:
        """When the first case of the shard that is held left restoration."""
        return (self.folder / "results" / "cases" / "a" / "stages" / "restore_cxr.json").stat().st_mtime_ns

    def gpus(self, job: str) -> str:
        return (self.watch / f"gpus-of-{job}").read_text()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of all results but logs, benchmarks and what killed processes left under temporary names."""
        results = self.folder / "results"
        files = [path for path in results.rglob("[!.]*") if path.is_file()]
        names = {path.relative_to(results).as_posix(): path for path in files}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in sorted(names.items())
            if not name.startswith(("logs/", "benchmarks/"))
        }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with SlurmCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
    assert why_not() == ""


@pytest.fixture(scope="module")
def by_this_machine(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("local"))
    project.finish(project.start("--cores", "2"), 300)
    return project


@dataclass
class Lost:
    """What was lost in a run on the cluster.

    Attributes
    ----------
    killed, requeued, cancelled
        Ids of the jobs.
    jobs
        Ids of all jobs until then.
    finished_ns
        When the case that the cancelled job had finished was written.
    """

    killed: str
    requeued: str
    cancelled: str
    jobs: set[str]
    finished_ns: int


def run_with_losses(project: Project, cluster: SlurmCluster) -> Lost:
    """Run on the cluster; kill a process, send a job back into the queue, lose the head process and a job."""
    project.hold("cases/b/stages/segment_anatomy.json")
    head = project.start(*ON_SLURM, environment=cluster.environment)
    try:
        killed, pid = project.held(head)
        os.kill(pid, signal.SIGKILL)
        project.hold("cases/b/stages/compose_drr.json")

        requeued, _ = project.held(head)
        cluster.requeue(requeued)
        project.hold("cases/b/stages/restore_cxr.json")

        cancelled, _ = project.held(head)
    finally:
        head.kill()
        head.wait(timeout=20)
    cluster.ask("scancel", cancelled)
    wait_until(lambda: not cluster.unfinished(), "the jobs that go on without the head process", 120)
    (project.watch / "hold").unlink()
    return Lost(killed, requeued, cancelled, {job["id"] for job in cluster.jobs()}, project.finished_ns())


@pytest.fixture(scope="module")
def by_slurm(tmp_path_factory, cluster):
    project = Project(tmp_path_factory.mktemp("slurm"))
    lost = run_with_losses(project, cluster)
    project.finish(project.start(*ON_SLURM, "--unlock", environment=cluster.environment), 60)
    project.finish(project.start(*ON_SLURM, environment=cluster.environment), 300)
    return project, lost


def test_all_is_as_this_machine_makes_it(by_slurm, by_this_machine):
    expected, found = by_this_machine.hashes(), by_slurm[0].hashes()
    assert {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)} == set()
    assert sum(name.startswith("dataset/images/") and name.endswith(".png") for name in found) == 2 * len(CASES)
    assert sum(name.startswith("records/") for name in found) == 2 * (len(STAGES) - 1)


def test_gpus_go_to_restoration_alone(by_slurm, cluster):
    project, _ = by_slurm
    assert {job["rule"].split("_wildcards_")[0].removeprefix("rule_") for job in cluster.jobs()} == set(STAGES)
    for job in cluster.jobs():
        on_gpu = job["rule"].startswith("rule_restore_cxr")
        assert (job["partition"], job["node"]) == (("gpu", "gn01") if on_gpu else ("cpu", "cn01")), job
        assert project.gpus(job["id"]) in (("0", "1") if on_gpu else ("",)), job


def test_a_killed_job_is_tried_again_by_itself(by_slurm, cluster):
    _, lost = by_slurm
    states = {job["id"]: job["state"] for job in cluster.jobs() if job["rule"] == rule_of(lost.killed, cluster)}
    assert states.pop(lost.killed) == "FAILED"
    assert list(states.values()) == ["COMPLETED"]
    assert set(states) <= lost.jobs, "by the same head process"


def test_a_job_put_back_into_the_queue_is_not_sent_twice(by_slurm, cluster):
    _, lost = by_slurm
    jobs = {job["id"]: job["state"] for job in cluster.jobs() if job["rule"] == rule_of(lost.requeued, cluster)}
    assert jobs == {lost.requeued: "COMPLETED"}


def test_a_run_without_its_head_goes_on_where_it_was(by_slurm, cluster):
    project, lost = by_slurm
    states = {job["id"]: job["state"] for job in cluster.jobs()}
    assert states[lost.cancelled] == "CANCELLED"
    again = {job["rule"] for job in cluster.jobs() if job["id"] not in lost.jobs}
    assert rule_of(lost.cancelled, cluster) in again
    assert not again & {job["rule"] for job in cluster.jobs() if job["id"] in lost.jobs and job["state"] == "COMPLETED"}
    assert project.finished_ns() == lost.finished_ns, "the case that the lost job had finished was not done again"


def rule_of(number: str, cluster: SlurmCluster) -> str:
    return next(job["rule"] for job in cluster.jobs() if job["id"] == number)
