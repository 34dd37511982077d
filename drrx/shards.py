"""Which case belongs to which shard (the cases one job works on): an append-only table.

A case stays in the shard it was first given to, and a shard that exists never gets another case. So a new row of the
cohort table makes new jobs and leaves the results of all others as they are.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from drrx.errors import DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import write_text

_HEADER = "shard\tcase"
#: A small batch of new cases is cut into this many shards, so that they can run side by side.
_SIDE_BY_SIDE = 8


def read_shards(path: Path) -> dict[str, str]:
    """Return the shard of each case from the table at ``path`` (columns shard, case); empty when there is none yet.

    Raises
    ------
    DrrxError
        The table is not what `write_shards` wrote.
    """
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines[1:]]
    shards = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
    if lines[:1] != [_HEADER] or len(shards) != len(pairs):
        raise DrrxError(
            where=str(path), found="lines that drrx did not write, or a case twice",
            needed="the columns shard and case, and one line per case",
            hint="Restore it; or delete it with the folder 'records' beside it: finished cases stay finished.",
        )  # fmt: skip
    return shards


def plan_shards(rows: Sequence[CohortRow], known: dict[str, str], shard_size: int) -> dict[str, str]:
    """Return the shard of each case, in the order given out: ``known`` as it is, new cases of ``rows`` in new shards.

    Shards hold cases of one cohort and are named ``<cohort>-<number>``. A batch of n new cases makes
    max(ceil(n / shard_size), min(n, 8)) shards of equal size, give or take one.
    """
    planned = dict(known)
    batches: dict[str, list[str]] = {}
    for row in rows:
        if row.case not in known:
            batches.setdefault(row.cohort, []).append(row.case)
    for cohort, cases in batches.items():
        names = {shard for shard in planned.values() if shard.rpartition("-")[0] == cohort}
        first = max((int(name.rpartition("-")[2]) for name in names), default=0) + 1
        num_shards = max(-(-len(cases) // shard_size), min(len(cases), _SIDE_BY_SIDE))
        for position, case in enumerate(cases):
            planned[case] = f"{cohort}-{first + position * num_shards // len(cases):04d}"
    return planned


def write_shards(path: Path, shards: dict[str, str]) -> None:
    """Write the table whole, unless it says the same already."""
    text = "\n".join([_HEADER, *(f"{shard}\t{case}" for case, shard in shards.items())]) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def cases_by_shard(rows: Sequence[CohortRow], shards: dict[str, str]) -> dict[str, list[CohortRow]]:
    """Return the rows of each shard in the order of ``shards``, so that a re-ordered cohort table changes no shard.

    A case that left the cohort table is left out, an empty shard too.
    """
    by_case = {row.case: row for row in rows}
    found: dict[str, list[CohortRow]] = {}
    for case, shard in shards.items():
        if case in by_case:
            found.setdefault(shard, []).append(by_case[case])
    return found


def row_signature(row: CohortRow) -> str:
    """Return a hash that changes when the row or the file it names changes (size and time of change, not content).

    Snakemake keeps it in its own files, so it must not tell the names of files, which often hold those of patients.
    Paths are taken as the table writes them, so that a project can be moved. A file that is missing is no error here:
    the case is refused when it is read. Of a folder only its own entry is looked at, which files put in or taken out
    change; a DICOM file rewritten in place does not.
    """
    values = row.model_dump()
    for name in ("path", "mask", "annotations"):
        if values[name] and not (name == "path" and row.phantom_seed is not None):
            values[name] = [row.written.get(name, values[name]), _stat(values[name])]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _stat(path: str) -> str:
    try:
        found = Path(path).stat()
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def cohort_signature(rows: Sequence[CohortRow]) -> str:
    """Return a short hash of the signatures of all ``rows``."""
    return hashlib.sha256("\n".join(row_signature(row) for row in rows).encode()).hexdigest()[:16]
