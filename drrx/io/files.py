"""Whole files or none: temporary name in the same folder, sync, rename, sync of the folder."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drrx.errors import DrrxError
from drrx.io.fence import hold_owner
from drrx.io.temporary import name_temporary

_unfinished: set[Path] = set()


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same suffixes); rename it to ``path`` when the block ends well.

    A reader sees the old file or the whole new one, never a part; after a loss of power too. On an error the temporary
    file is removed and ``path`` stays as it was. ``drrx.io.temporary`` knows what a killed process left.

    Raises
    ------
    OwnerLost
        Another driver has taken over the folder from the one that started this process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / name_temporary(path.name)
    _unfinished.add(temporary)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        move_whole(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def move_whole(source: Path, target: Path) -> None:
    """Rename a finished file on its own file system, for good; only as long as our driver owns the folder."""
    with hold_owner():
        source.replace(target)
    sync_folder(target.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there; only as long as our driver owns the folder."""
    with hold_owner():
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Write down the names in a folder. File systems that know no such thing are left alone."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def drop_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end in the middle of its work."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` whole."""
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as indented JSON with sorted keys: the same data gives the same bytes. NaN is an error."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a broken or missing one is a ``DrrxError``."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DrrxError(
            where=str(path), found=str(error), needed="a readable JSON file",
            hint="Delete it and run again: the stage that wrote it makes it anew.",
        ) from error  # fmt: skip


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
