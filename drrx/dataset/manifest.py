"""The manifest of a data set: what it was made with, and the size and SHA-256 of every file; it is written last.

Four files share the work, so that none of them is large for a reader that wants only a part: ``manifest.json`` (what
all images share), ``provenance.tsv`` (a line per image), ``files.tsv`` (a line per file) and ``sha256sums.txt`` (the
same for ``sha256sum -c``). A last list in the folder of the run covers the records that the data set was made from.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import drrx
from drrx.dataset.entries import ImageEntry
from drrx.dataset.provenance import NAME as PROVENANCE
from drrx.dataset.provenance import hash_json, write_provenance
from drrx.environment import read_environment
from drrx.errors import DrrxError
from drrx.io.checksums import NAME as SUMS
from drrx.io.checksums import hash_files, write_sums
from drrx.io.files import remove, sha256_file, write_text

MANIFEST, FILES = "manifest.json", "files.tsv"
#: What this module writes, in its order.
NAMES = (PROVENANCE, FILES, SUMS, MANIFEST)
#: The records of a run, which the list in its folder covers. A killed process leaves names that begin with a dot.
RECORDS = ("summary.json", "shards.tsv", "records/*/[!.]*.json", "cases/*/case.json", "cases/*/stages/[!.]*.json")
_HEADER = "bytes\tsha256\tname"


def take_manifest(folder: Path) -> set[str]:
    """Remove the manifest of an earlier run, if there is one, and return the names of its files."""
    remove(folder / MANIFEST)
    return {*read_files(folder / FILES), *NAMES} if (folder / FILES).is_file() else set()


def write_manifest(
    results: Path, entries: Sequence[ImageEntry], names: Collection[str], facts: Mapping[str, Any]
) -> list[str]:
    """Write the manifest of ``results/dataset`` and the list of the run's records.

    Parameters
    ----------
    results
        Folder of the run.
    entries
        Images of the data set.
    names
        All its files but those that are written here, relative to it.
    facts
        Go into ``manifest.json``: ``run`` (seed and settings), ``counts``, ``cases``. JSON-ready, without absolute
        paths.

    Returns
    -------
    The names of the files written into the data set.
    """
    folder = results / "dataset"
    sums = _hash(folder, names)
    written, makings = write_provenance(folder, results, entries, sums)
    sums |= _hash(folder, written)
    sizes = {name: (folder / name).stat().st_size for name in sums}
    lines = (f"{sizes[name]}\t{sums[name]}\t{name}\n" for name in sorted(sums))
    write_text(folder / FILES, f"{_HEADER}\n{''.join(lines)}")
    sums |= _hash(folder, [FILES])
    manifest = {
        "drrx": drrx.__version__, "environment": read_environment(), "run_sha256": hash_json(facts["run"]),
        "files": {"count": len(sizes), "bytes": sum(sizes.values()), "sha256": sums[FILES]}, **makings.to_json(),
    }  # fmt: skip
    text = json.dumps(manifest | dict(facts), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_sums(folder / SUMS, sums | {MANIFEST: hashlib.sha256(text.encode()).hexdigest()})
    write_records_list(results)
    write_text(folder / MANIFEST, text)
    return list(NAMES)


def write_records_list(results: Path) -> None:
    """Write ``sha256sums.txt`` of the run: its records as they are now, and the list of the data set."""
    paths = [path for pattern in (*RECORDS, f"dataset/{SUMS}") for path in results.glob(pattern) if path.is_file()]
    sums = hash_files(paths)
    write_sums(results / SUMS, {path.relative_to(results).as_posix(): sums[path] for path in paths})


def _hash(folder: Path, names: Collection[str]) -> dict[str, str]:
    sums = hash_files([folder / name for name in names])
    return {name: sums[folder / name] or sha256_file(folder / name) for name in names}


def read_files(path: Path) -> dict[str, tuple[int, str]]:
    """Return size in bytes and SHA-256 of the files by name, from ``files.tsv``.

    Raises
    ------
    DrrxError
        It is missing or no such table.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines]
        found = {name: (int(size), sha256) for size, sha256, name in rows}
        if header != _HEADER:
            raise ValueError(header)
    except (OSError, ValueError) as error:
        raise DrrxError(
            where=str(path), found=str(error)[:80], needed=f"lines of {_HEADER!r}", hint="Run collect_dataset again."
        ) from error
    return found
