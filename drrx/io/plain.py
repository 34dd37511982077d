"""Plain files: opened without waiting for a pipe, and refused in words that name no folder.

The workflow reads tables with this each time it is parsed, so it imports nothing heavy.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from drrx.errors import CaseRefused

#: What is wrong with the file or its name. Missing rights, a full disk, a server that is gone are not: those errors go
#: on as they are, and the case may be done when the machine is well again.
_OF_THE_FILE = (errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO)
MAX_TEXT_BYTES = 1 << 28


def make_corrupt(path: Path | str, found: str, needed: str = "a whole file") -> CaseRefused:
    """Return the refusal of a file, given by path or as messages call it, that is cut, damaged or of a wrong length."""
    return CaseRefused(
        "CORRUPT_FILE", where=path if isinstance(path, str) else path.name, found=found, needed=needed,
        hint="Copy or export the file again; compare its size or checksum with the original.",
    )  # fmt: skip


def _make_unreadable(path: Path, error: OSError) -> CaseRefused:
    """Return the refusal of a file that the system does not give; its own text would name the whole path."""
    if isinstance(error, FileNotFoundError):
        return CaseRefused(
            "FILE_MISSING", where=path.name, found="no such file or folder", needed="a file",
            hint="Correct the path; in a cohort table it is relative to the folder of the table.",
        )  # fmt: skip
    return CaseRefused(
        "FILE_UNREADABLE", where=path.name, found=error.strerror or "a read error", needed="a plain file",
        hint="Give the file itself, by a name that the system can hold.",
    )  # fmt: skip


@contextmanager
def open_plain(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain file; never a pipe, which would wait for ever, nor a device.

    Raises
    ------
    CaseRefused
        ``FILE_MISSING``; ``FILE_UNREADABLE``: a folder, pipe, socket or device, or a name that cannot be.
    OSError
        The machine's fault: no right to read, read error, too many open files, ...
    """
    try:
        descriptor = _open_descriptor(path)
    except OSError as error:
        if error.errno in _OF_THE_FILE:
            raise _make_unreadable(path, error) from error
        raise
    with os.fdopen(descriptor, "rb") as raw:
        try:
            yield raw
        except OSError as error:
            if error.errno is None:  # of a decoder
                raise make_corrupt(path, str(error) or type(error).__name__) from error
            raise


def _open_descriptor(path: Path) -> int:
    # Looked at twice: opening some devices does something, and the file may change in between.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if _is_plain(path.stat()) else -1
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, "NUL in the name") from error
    if descriptor >= 0 and _is_plain(os.fstat(descriptor)):
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    raise OSError(errno.EINVAL, "a folder, pipe or device instead of a plain file")


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def read_text(path: Path) -> str:
    """Read a whole table as UTF-8 text, with or without a byte-order mark.

    Raises
    ------
    CaseRefused
        Those of :func:`open_plain`; ``CORRUPT_FILE``: above 256 MB, not UTF-8, or with NUL bytes, as UTF-16 has.
    """
    with open_plain(path) as raw:
        data = raw.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise make_corrupt(path, f"more than {MAX_TEXT_BYTES} bytes", "a table")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise make_corrupt(path, "bytes that are not UTF-8", "UTF-8 text") from error
    if "\0" in text:
        raise make_corrupt(path, "NUL bytes (is it UTF-16?)", "UTF-8 text")
    return text
