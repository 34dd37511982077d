"""Who owns the folder of a run: one driver at a time, from whatever folder or machine it was started.

The owner is the file ``.drrx-owner-N`` with the highest ``N``. To take over from number ``N`` is to make number
``N + 1`` by a hard link, which of all drivers exactly one can do, on network file systems too; the winner removes the
lower ones. A driver tells its jobs token and lock (``DRRX_OWNER``); a job gives no file its final name, and removes
none, when that lock is no longer the owner (``drrx/io/fence.py``). So what a killed driver left running cannot touch
what the next one makes.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drrx.errors import DrrxError
from drrx.io.fence import ENVIRONMENT, PREFIX, is_owner, lock_file, read_lock
from drrx.io.processes import Process, started_s, this_process
from drrx.io.temporary import name_temporary, sweep

#: Seconds between two signs of life, and without one until a driver that we cannot see counts as dead.
BEAT_S, SILENT_S = 30.0, 600.0
#: Seconds a takeover waits for jobs that are just giving a file its name: they take milliseconds.
SETTLE_S = 10.0
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class OutputBusy(DrrxError):
    """Another run owns the folder."""

    code = "OUTPUT_BUSY"


@dataclass
class Owner:
    """The lock of this process on a folder; it gives a sign of life until it is given back."""

    path: Path
    token: str
    _ended: threading.Event = field(default_factory=threading.Event)

    def export(self) -> None:
        """Tell all processes that are started from now on whose they are."""
        os.environ[ENVIRONMENT] = f"{self.token}:{self.path.absolute()}"

    def start_beating(self) -> None:
        """Touch the lock every ``BEAT_S`` seconds; when it is no longer ours, ask this process to end."""
        threading.Thread(target=self._beat, daemon=True, name="drrx-owner").start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(OSError):  # the next one may get through
                if not is_owner(self.path, self.token):
                    break
                os.utime(self.path)
        if not self._ended.is_set():
            print("drrx: another run has taken over the folder; this one ends", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def give_back(self) -> None:
        """End the ownership; nothing happens when somebody has taken over."""
        self._ended.set()
        if os.environ.get(ENVIRONMENT, "").startswith(self.token):
            del os.environ[ENVIRONMENT]
        with contextlib.suppress(OSError):
            if is_owner(self.path, self.token):
                self.path.unlink()


def take(results: Path, *, by_force: bool = False) -> Owner:
    """Make this process the owner of ``results``, which is made when it is not there.

    Parameters
    ----------
    results
        Folder of the run.
    by_force
        Take it from a driver that seems alive, too. That one ends when it notices; its jobs cannot write any more.

    Raises
    ------
    OutputBusy
        It has a living owner: a process that we see, or one elsewhere that gave a sign of life within ``SILENT_S``.
    """
    results.mkdir(parents=True, exist_ok=True)
    sweep(results, deep=False)
    token = secrets.token_hex(8)
    draft = results / name_temporary("owner")
    record = this_process().to_json() | {"token": token, "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    try:
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        while True:
            # The time of the server of the file system, whose clock may not be ours.
            number, old = _refuse_living(results, None if by_force else draft.stat().st_mtime)
            path = results / f"{PREFIX}{number + 1}"
            if not _claim(draft, path):
                continue
            # A number that was given back can be taken again, while another driver still goes by what it saw before.
            as_seen = read_lock(results / f"{PREFIX}{number}").get("token", old) == old
            if as_seen and max(_numbers(results)) == number + 1:
                _remove_lower(results, number + 1)
                return Owner(path, token)
            path.unlink()
    finally:
        draft.unlink(missing_ok=True)


def check_free(results: Path) -> None:
    """Raise ``OutputBusy`` when ``results`` has a living owner."""
    if results.is_dir():
        _refuse_living(results, time.time())


def find_owner(results: Path) -> dict[str, Any] | None:
    """Return what the highest lock of ``results`` says, and whether its driver is ``alive``; ``None`` for no lock."""
    number = max(_numbers(results), default=0)
    path = results / f"{PREFIX}{number}"
    record = read_lock(path)
    return record | {"alive": not _is_stale(path, record, time.time())} if number else None


def _refuse_living(results: Path, now: float | None) -> tuple[int, str]:
    """Return number and token of the highest lock; raise when its driver lives, unless ``now`` is not told."""
    while True:
        number = max(_numbers(results), default=0)
        path = results / f"{PREFIX}{number}"
        record = read_lock(path)
        if not number or path.exists():
            break  # else it was given back just now
    if number and now is not None and not _is_stale(path, record, now):
        who = f"process {record.get('pid', '?')} on {record.get('host', '?')} since {record.get('since', '?')}"
        raise OutputBusy(
            where=f"the folder {results}", found=f"a run that is not over: {who}",
            needed="one run at a time on a folder, from wherever it is started",
            hint=f"Wait for it or stop it. If no such run is alive: drrx run --break-lock, or delete {path}.",
        )  # fmt: skip
    return number, str(record.get("token", ""))


def _is_stale(path: Path, record: dict[str, Any], now: float) -> bool:
    """Return whether the driver of a lock is dead, or silent for too long where we cannot see it."""
    try:
        beat = path.stat().st_mtime
    except FileNotFoundError:
        return False  # given back just now; whoever wants to take it looks again
    try:
        process = Process(**{name: record[name] for name in ("host", "pid", "start", "boot", "namespace")})
    except KeyError:  # it is just being written, on a file system without hard links
        return now - beat > SILENT_S
    if process.is_seen():
        return not process.is_alive()
    me = this_process()
    # The machine was started anew. A second machine of the same name would have given a sign of life since.
    if process.host == me.host and process.boot and process.boot != me.boot and beat < started_s():
        return True
    return now - beat > SILENT_S


def _claim(draft: Path, path: Path) -> bool:
    """Give the draft the name ``path`` too; return whether nobody was faster."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            with path.open("xb") as stream:
                stream.write(draft.read_bytes())
        except FileExistsError:
            return False
    return True


def _remove_lower(results: Path, number: int) -> None:
    """Remove the locks below ``number``, the lowest first, when no job is just giving a file its name."""
    for lower in sorted(each for each in _numbers(results) if each < number):
        path = results / f"{PREFIX}{lower}"
        with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
            until = time.monotonic() + SETTLE_S
            while not lock_file(stream, fcntl.LOCK_EX) and time.monotonic() < until:
                time.sleep(0.002)
            path.unlink()


def _numbers(results: Path) -> list[int]:
    found = (re.fullmatch(rf"{re.escape(PREFIX)}(\d{{1,9}})", path.name) for path in results.iterdir())
    return [int(match[1]) for match in found if match]
