"""Names of files and folders that are not finished: they tell whose they are, so that a dead one's can be removed."""

import os
import re
import secrets
import shutil
import time
from pathlib import Path

from drrx.io.processes import is_running, this_process

_NAME = re.compile(r"\.drrx-tmp-(?P<space>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}-.*", re.DOTALL)
#: Seconds after which a leftover of a process that we cannot see is removed; no file takes that long to write.
OLD_S = 86_400
#: Bytes of the final name that are kept, its end, so that a long name stays within the 255 of a file system.
_KEPT = 160


def name_temporary(name: str) -> str:
    """Return a new name for something of this process that will be called ``name``, with the same suffixes."""
    me = this_process()
    kept = name.encode()[-_KEPT:].decode(errors="ignore")
    return f".drrx-tmp-{me.space}-{me.pid}-{me.start}-{secrets.token_hex(4)}-{kept}"


def is_temporary(name: str) -> bool:
    """Return whether a file's name is one of ``name_temporary``."""
    return _NAME.fullmatch(name) is not None


def sweep(folder: Path, *, deep: bool = True) -> list[Path]:
    """Remove what dead processes left unfinished in ``folder``, with ``deep`` in all folders below it too.

    A process of this machine is dead when it is not running; what one of another machine left is removed a day after it
    was last written. What a living process writes is never touched.

    Returns
    -------
    What was removed.
    """
    removed = []
    for top, folders, files in os.walk(folder):
        left = [Path(top) / name for name in (*files, *folders) if is_temporary(name)]
        removed += [path for path in left if _is_left(path) and _remove(path)]
        folders[:] = [name for name in folders if deep and not is_temporary(name)]
    return removed


def _is_left(path: Path) -> bool:
    told = _NAME.fullmatch(path.name)
    if told is None:
        return False
    if told["space"] == this_process().space:
        return not is_running(int(told["pid"]), int(told["start"]))
    try:
        return time.time() - path.lstat().st_mtime > OLD_S
    except OSError:
        return False


def _remove(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # another job was faster, or may do so and we may not
        return False
    return True
