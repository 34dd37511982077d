"""The index of a library of real nodules: which there are, their files, and one hash over all of them.

Snakemake reads this each time it parses the workflow, so it imports nothing heavy.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from drrx.errors import CaseRefused, DrrxError
from drrx.io.files import sha256_file
from drrx.io.plain import read_text

INDEX = "index.csv"
MAX_ID_BYTES = 200  # a file name has 255 at most
PATCH, MASK = "{}.nii.gz", "{}_seg.nii.gz"


def sign_library(folder: Path | str) -> str:
    """Return a SHA-256 over the index and all files it names: it changes when the library does."""
    folder = Path(folder)
    files = [path for name in read_ids(folder) for path in find_files(folder, name)]
    text = "".join(f"{path.name}\0{sha256_file(path)}\0" for path in (folder / INDEX, *files))
    return hashlib.sha256(text.encode()).hexdigest()


def read_ids(folder: Path) -> list[str]:
    """Return the ids of the nodules in their order; an index that cannot be read is a ``DrrxError``."""
    path = folder / INDEX
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except (CaseRefused, OSError, csv.Error) as error:
        found = getattr(error, "found", "") or getattr(error, "strerror", "") or str(error)
        raise _index_error(path, found, "a table with a column id", "Name the folder of a nodule library.") from error
    names = [(row.get("id") or "").strip() for row in rows]
    if not names or not all(names):
        found = "no rows" if not names else f"row {names.index('') + 2} without an id"
        raise _index_error(path, found, "an id in every row, in a column named id", "See docs/nodules.md for the form.")
    counts = Counter(names)
    wrong = next((n for n in names if counts[n] > 1 or Path(n).name != n or len(n.encode()) > MAX_ID_BYTES), None)
    if wrong is not None:
        raise _index_error(
            path, f"id {wrong[:80]!r}", "ids that come once and are plain file names", "Rename the nodule."
        )
    return names


def _index_error(path: Path, found: str, needed: str, hint: str) -> DrrxError:
    return DrrxError(where=str(path), found=found, needed=needed, hint=hint)


def find_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield patch and mask of a nodule; a missing one is an error."""
    for pattern in (PATCH, MASK):
        path = folder / pattern.format(name)
        if not path.is_file():
            raise DrrxError(
                where=str(path), found="no such file", needed=f"the files {PATCH.format(name)} and {MASK.format(name)}",
                hint="index.csv names this nodule: add the file, or take the line out.",
            )  # fmt: skip
        yield path
