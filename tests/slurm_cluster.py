"""A SLURM cluster of two nodes on this machine, without systemd, munge or a database: for tests only.

Real ``slurmctld`` and ``slurmd``; node ``cn01`` in partition ``cpu``, node ``gn01`` in partition ``gpu`` with two fake
GPUs. SLURM hands them out and sets CUDA_VISIBLE_DEVICES, but they are null devices and compute nothing. Nodes claim
more cores and memory than there are, so that jobs may ask for what they would ask for on a real cluster.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "scancel", "scontrol")
#: Where SLURM looks for its configuration. SLURM_CONF is no way round it: the executor plugin keeps it from `srun`.
SYSTEM_FOLDER = Path("/etc/slurm")
NODES = ("cn01", "gn01")
#: In the environment of all that a cluster starts, with its folder: so its processes are known from others.
MARK = "DRRX_TEST_CLUSTER"

SLURM_CONF = """\
ClusterName=drrx
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# squeue must still show finished jobs: the executor plugin and the test ask it.
MinJobAge=3600
KillWait=5
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=cn01 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=64000
NodeName=gn01 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=64000 Gres=gpu:2
PartitionName=cpu Nodes=cn01 Default=YES MaxTime=2880
PartitionName=gpu Nodes=gn01 MaxTime=2880
"""
# Only device files are counted as GPUs, told apart by the number at the end of their name.
GRES_CONF = "AutoDetect=off\nNodeName=gn01 Name=gpu File={folder}/dev/gpu[0-1]\n"
CGROUP_CONF = "CgroupAutomount=no\n"


def why_not() -> str:
    """Say why no cluster can be started here; empty when one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return (
            f"no {', '.join(missing)} here (Debian and Ubuntu: slurmctld slurmd slurm-client slurm-wlm-basic-plugins)"
        )
    if os.geteuid() != 0:
        return "only root can make device files and link a configuration into SLURM's folder"
    if not os.access(SYSTEM_FOLDER, os.W_OK):
        return f"{SYSTEM_FOLDER} cannot be written"
    found = next((name for name in _configuration("", []) if os.path.lexists(SYSTEM_FOLDER / name)), "")
    return f"{SYSTEM_FOLDER / found} is there: this machine belongs to a cluster already" if found else ""


def _configuration(folder: str, ports: list[int]) -> dict[str, str]:
    host = socket.gethostname().partition(".")[0]
    told = {"host": host, "folder": folder, "ports": ports or [0, 0, 0]}
    texts = {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF, "cgroup.conf": CGROUP_CONF}
    return {name: text.format(**told) for name, text in texts.items()}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def wait_until(true: Callable[[], object], what: str, seconds: float) -> None:
    """Return as soon as ``true()``; fail with ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)


class SlurmCluster:
    """The cluster whose files lie in ``folder``; use it in a ``with`` statement, so that nothing of it stays."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {MARK: str(folder)}
        self.links: list[Path] = []
        self.daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "SlurmCluster":
        self.on_term = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in __exit__, as Ctrl-C does
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _start(self) -> None:
        for name in ("state", "dev", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        for number in (0, 1):
            os.mknod(self.folder / "dev" / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        for name, text in _configuration(str(self.folder), _free_ports(3)).items():
            (self.folder / name).write_text(text)
            (SYSTEM_FOLDER / name).symlink_to(self.folder / name)
            self.links.append(SYSTEM_FOLDER / name)
        for command in (["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-c", "-N", node] for node in NODES)):
            with (self.folder / f"{'-'.join(command)}.out").open("wb") as said:
                self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=said, stderr=said))
        wait_until(lambda: self._states() == ["idle", "idle"], f"two idle nodes; logs in {self.folder}", 30)

    def _states(self) -> list[str]:
        said = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True, timeout=20, check=False
        )
        return said.stdout.split()

    def ask(self, *command: str) -> str:
        """Return what a SLURM command says."""
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert said.returncode == 0, said.stderr
        return said.stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far: ``id``, ``state``, ``partition``, ``node``, ``rule`` (as the plugin tells it)."""
        names = ("id", "state", "partition", "node", "rule")
        lines = self.ask("squeue", "-h", "-t", "all", "-o", "%i|%T|%P|%N|%k").splitlines()
        return [dict(zip(names, line.split("|"), strict=True)) for line in lines]

    def unfinished(self) -> list[str]:
        """Ids of the jobs that wait, run or end."""
        return self.ask("squeue", "-h", "-o", "%i").split()

    def requeue(self, job: str) -> None:
        """Take a job off its node and put it back into the queue, as pre-emption and a lost node do."""
        self.ask("scontrol", "requeue", job)
        wait_until(lambda: self.ask("squeue", "-h", "-j", job, "-o", "%T").strip() == "PENDING", "the queue", 30)
        # SLURM would keep it back for two minutes, in case the node is at fault.
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def stop(self) -> None:
        """Cancel all jobs, stop the daemons and what is left of jobs by process id, take the links away."""
        try:
            if len(self.daemons) == 3:
                for job in self.unfinished():
                    self.ask("scancel", job)
                wait_until(lambda: not self.unfinished(), "the end of cancelled jobs", 20)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            print(f"slurm_cluster: {error}")
        for process in reversed(self.daemons):
            process.terminate()
        for process in self.daemons:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=20)
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)
        for link in self.links:
            link.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "dev", ignore_errors=True)
        signal.signal(signal.SIGTERM, self.on_term)

    def _left(self) -> list[int]:
        mark = f"{MARK}={self.folder}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile
                continue
        return [pid for pid in found if pid != os.getpid()]
