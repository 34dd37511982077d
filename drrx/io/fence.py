"""A job gives files their final names only while the driver that started it owns the folder (``drrx/io/owner.py``)."""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from drrx.errors import DrrxError

PREFIX = ".drrx-owner-"
#: The environment variable by which a driver tells its jobs whose they are: token, colon, path of its lock.
ENVIRONMENT = "DRRX_OWNER"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class OwnerLost(DrrxError):
    """The folder has another owner by now, or none: what still runs for the old one must write nothing more."""

    code = "OUTPUT_TAKEN_OVER"


@contextlib.contextmanager
def hold_owner() -> Iterator[None]:
    """Hold off a takeover for the few operations in the block, which give files their final names or remove them.

    Without ``DRRX_OWNER`` in the environment, in a process that no driver started, nothing is asked.

    Raises
    ------
    OwnerLost
        The driver that started this process is no longer the owner.
    """
    token, _, name = os.environ.get(ENVIRONMENT, "").partition(":")
    if not name:
        yield
        return
    path = Path(name)
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            raise _lost(path) from None
        if not lock_file(stream, fcntl.LOCK_SH) or not is_owner(path, token):
            raise _lost(path)
        yield


def lock_file(stream: IO[bytes], kind: int) -> bool:
    """Lock without waiting (``fcntl.LOCK_SH``, ``LOCK_EX``); on a file system without locks it is as good as done."""
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def is_owner(path: Path, token: str) -> bool:
    """Return whether a lock is there, with this token, and nobody has taken over from it."""
    number = int(path.name.removeprefix(PREFIX))
    return not path.with_name(f"{PREFIX}{number + 1}").exists() and read_lock(path).get("token") == token


def read_lock(path: Path) -> dict[str, Any]:
    """Return what a lock says; nothing when it is gone or half written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lost(path: Path) -> OwnerLost:
    return OwnerLost(
        where=f"the folder {path.parent.name}", found="another owner, or none: the run that started this job is over",
        needed="jobs of the run that owns the folder", hint="Start the run again if none goes on.",
    )  # fmt: skip
