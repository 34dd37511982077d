"""Compare every file of a run, or of a data set alone, with what its records say."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from drrx.dataset.manifest import MANIFEST
from drrx.errors import DrrxError
from drrx.io.checksums import NAME as SUMS
from drrx.io.checksums import hash_files
from drrx.io.fence import PREFIX as LOCK
from drrx.io.temporary import is_temporary
from drrx.provenance.expected import Expected, expect_data_set, expect_run

Kind = Literal["missing", "changed", "extra", "temporary", "disagrees", "unreadable"]
#: What a run writes beside its results and no record covers: diaries, and what training makes.
UNRECORDED = ("logs", "benchmarks", "training", ".snakemake")
#: Where a stage works on copies; it is removed when that is done.
SCRATCH = "scratch"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: its kind, the file (relative to the folder), and what was found."""

    kind: Kind
    file: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What came out.

    Attributes
    ----------
    findings
        By file; none when all is as recorded.
    num_files, num_bytes
        Files that were compared, and the bytes that were read: hard links once.
    num_linked
        Files that share the disk space of another one of them.
    num_dropped
        Intermediate files that were taken away on purpose and so could not be compared.
    num_unrecorded
        Files of refused or failed cases that are on no record, and no part of the data set.
    seconds
        Time it took.
    """

    findings: tuple[Finding, ...]
    num_files: int
    num_bytes: int
    num_linked: int
    num_dropped: int
    num_unrecorded: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}


def verify(folder: Path, threads: int | None = None) -> Verification:
    """Find files that are missing, changed, added, half written or unreadable.

    Parameters
    ----------
    folder
        A run's folder (``results``), or a data set without its run.
    threads
        Files read at a time; 4 at most where it is not given.

    Raises
    ------
    DrrxError
        It is neither.
    """
    start = time.monotonic()
    folder = Path(folder)
    is_run = (folder / "cases").is_dir() or (folder / "dataset").is_dir()
    if not is_run and not any((folder / name).is_file() for name in (SUMS, MANIFEST)):
        raise DrrxError(
            where=str(folder), found="neither cases nor a manifest", needed="the folder of a run, or a data set",
            hint="Give the folder that config.yaml calls 'results'.",
        )  # fmt: skip
    expected = expect_run(folder) if is_run else expect_data_set(folder)
    lying = dict(_list_files(folder))
    compared = [folder / name for name in expected.sums if name in lying and lying[name].is_plain]
    found = {path.relative_to(folder).as_posix(): sha256 for path, sha256 in hash_files(compared, threads).items()}
    strangers = [name for name in lying if name not in expected.sums and not name.startswith(LOCK)]
    left = [name for name in strangers if _is_left_over(name, expected)]
    findings = [*_compare(expected, lying, found), *(_describe(name) for name in strangers if name not in set(left))]
    inodes = {lying[name].inode: lying[name].num_bytes for name in found}
    return Verification(
        tuple(sorted(findings, key=lambda finding: finding.file)), len(found), sum(inodes.values()),
        len(found) - len(inodes), expected.dropped, len(left), time.monotonic() - start,
    )  # fmt: skip


class _Status(NamedTuple):
    is_plain: bool
    inode: tuple[int, int]
    num_bytes: int


def _list_files(folder: Path) -> Iterator[tuple[str, _Status]]:
    """Yield name and status of all that is no folder; links are not followed."""
    for top, folders, files in os.walk(folder):
        if Path(top) == folder:
            folders[:] = [name for name in folders if name not in UNRECORDED]
        links = [name for name in folders if (Path(top) / name).is_symlink()]
        for name in (*files, *links):
            path = Path(top) / name
            found = path.lstat()
            status = _Status(stat.S_ISREG(found.st_mode), (found.st_dev, found.st_ino), found.st_size)
            yield path.relative_to(folder).as_posix(), status


def _compare(expected: Expected, lying: dict[str, _Status], found: dict[str, str]) -> Iterator[Finding]:
    for name, (kind, detail) in expected.broken.items():
        yield Finding(kind, name, detail)  # type: ignore[arg-type]
    for name, sha256 in expected.sums.items():
        told = f"recorded in {expected.told_by[name]}"
        if name in expected.broken and expected.broken[name][0] != "disagrees":
            continue
        if name not in lying:
            yield Finding("missing", name, told)
        elif name not in found:
            yield Finding("changed", name, "no plain file any more")
        elif not found[name]:
            yield Finding("unreadable", name, told)
        elif sha256 and found[name] != sha256:
            yield Finding("changed", name, f"sha256 {found[name][:16]}..., {sha256[:16]}... {told}")


def _is_left_over(name: str, expected: Expected) -> bool:
    top, _, rest = name.partition("/")
    return top == "cases" and rest.partition("/")[0] in expected.unfinished and not _is_temporary(name)


def _is_temporary(name: str) -> bool:
    return is_temporary(name.rpartition("/")[2]) or name.partition("/")[0] == SCRATCH


def _describe(name: str) -> Finding:
    if _is_temporary(name):
        return Finding("temporary", name, "left by a job that was stopped, or of one that runs now")
    return Finding("extra", name, "on no record: of an earlier run with other settings, or put there by hand")
