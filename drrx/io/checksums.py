"""Lists of SHA-256 as ``sha256sum -c`` reads them, sealed by their last line, and the hashing of many files."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drrx.errors import DrrxError
from drrx.io.files import sha256_file, write_text

NAME = "sha256sums.txt"
#: coreutils skip lines that begin with ``#``.
#: Files handed to the threads together: a job in waiting takes more memory than its name.
_AT_A_TIME = 1024
_SEAL = "# sha256 of the lines above: "


def make_sums(sums: Mapping[str, str]) -> str:
    """Return the list's text: ``<sha256>  <name>`` in the order of the names, and a last line that seals them.

    Names are relative to the list's folder, with ``/``.
    """
    lines = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    return f"{lines}{_SEAL}{hashlib.sha256(lines.encode()).hexdigest()}\n"


def write_sums(path: Path, sums: Mapping[str, str]) -> None:
    """Write the list of `make_sums` whole."""
    write_text(path, make_sums(sums))


def read_sums(path: Path) -> dict[str, str]:
    """Return SHA-256 by name from a list that is as it was written.

    Raises
    ------
    DrrxError
        It is missing, or differs from what its last line seals.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _refuse(path, error.strerror or str(error)) from error
    lines, mark, seal = text.rpartition(_SEAL.encode())
    if not mark or seal != hashlib.sha256(lines).hexdigest().encode() + b"\n":
        raise _refuse(path, "bytes that differ from what its last line seals")
    pairs = (line.split("  ", 1) for line in lines.decode().splitlines())
    return {name: sha256 for sha256, name in pairs}


def hash_files(paths: Iterable[Path], threads: int | None = None) -> dict[Path, str]:
    """Return the SHA-256 of each file; those that share an inode (hard links) are read once.

    A file that cannot be read gets an empty text. ``threads`` is 4 at most where it is not given: disks do not get
    faster by more.
    """
    inodes = {path: _find_inode(path) for path in paths}
    firsts: dict[tuple[int, int] | Path, Path] = {}
    for path, inode in inodes.items():
        firsts.setdefault(inode, path)
    waiting = list(firsts.items())
    sums: dict[tuple[int, int] | Path, str] = {}
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(waiting), _AT_A_TIME):
            keys, some = zip(*waiting[start : start + _AT_A_TIME], strict=True)
            sums |= zip(keys, pool.map(_try_hash, some), strict=True)
    return {path: sums[inode] for path, inode in inodes.items()}


def _find_inode(path: Path) -> tuple[int, int] | Path:
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino


def _try_hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""


def _refuse(path: Path, found: str) -> DrrxError:
    return DrrxError(
        where=str(path), found=found, needed="the list of checksums that drrx wrote",
        hint="Run collect_dataset again, or copy the folder again.",
    )  # fmt: skip
