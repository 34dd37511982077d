"""Runs `drrx run-stage` in processes forked from one that has loaded all libraries, with a fault at a file operation.

Reads requests as JSON lines: ``argv``, ``folder`` to work in, ``log``, and ``fault``: nothing, or ``kind`` (kill, term,
error), ``at`` (which of the operations that change a file of the results, from 1), for an error its ``number`` and
whether it is ``lasting``. Answers with the process's id, and when it has ended with status and number of operations.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from drrx.cli.main import main
from drrx.config import STAGES

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir"}


class Fault:
    """Counts the operations that change a file below the results, and does its harm at one of them."""

    def __init__(self, results: Path, mark: Path, kind: str = "", at: int = 0, number: int = 0, lasting: bool = False):
        self.mark = mark  # gets the time of the harm
        self.results, self.kind, self.at, self.number, self.lasting = str(results), kind, at, number, lasting
        self.count = 0
        sys.addaudithook(self.hear)
        self.sync, os.fsync = os.fsync, self.fsync

    def hear(self, event: str, args: tuple) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in CHANGES) and isinstance(args[0], (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100
            if path.startswith(self.results):
                self.meet(may_fail=bool(writes) or event == "os.rename")

    def fsync(self, handle: int) -> None:
        self.meet(may_fail=True)
        self.sync(handle)

    def meet(self, may_fail: bool) -> None:
        self.count += 1
        if self.kind in ("kill", "term") and self.count == self.at:
            self.at = -1
            self.mark.write_text(str(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL if self.kind == "kill" else signal.SIGTERM)
        reached = self.count >= self.at if self.lasting else self.count == self.at
        if self.kind == "error" and may_fail and reached:
            raise OSError(self.number, os.strerror(self.number))


def work(ask: dict) -> None:
    """What the forked process does, instead of coming back."""
    log = os.open(ask["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(ask["folder"])
    if ask["max_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ask["max_bytes"], resource.RLIM_INFINITY))
    fault = Fault(Path(ask["folder"], "results"), Path(ask["log"] + ".at"), **ask["fault"])
    status = 70
    try:
        status = main(ask["argv"])
        Path(ask["log"] + ".count").write_text(str(fault.count))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    for stage in STAGES:
        importlib.import_module(f"drrx.stages.{stage}")
    for name in ("drrx.anatomy.figure", "drrx.restorer.model", "drrx.restorer.restore"):
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            work(ask)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
