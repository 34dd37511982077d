"""The cohort table: which CTs there are and where they lie."""

import csv
import io
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from drrx.errors import CaseRefused, DrrxError
from drrx.io.plain import read_text

PHANTOM = re.compile(r"phantom:([0-9]{1,18})")
#: What a file system can hold, in bytes.
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095
MAX_NUM_TOLD, MAX_CELL_SHOWN = 10, 60
ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
REQUIRED = ("case", "path", "cohort")
OPTIONAL = ("series_uid", "mask", "annotations", "has_nodules")
HEADER_HINT = (
    "The first line names the columns: case, path and cohort, if you like also series_uid, mask, annotations, "
    "has_nodules and columns of your own, with tabs between them (.tsv) or commas (.csv)."
)


class CohortRow(BaseModel):
    """One case of the cohort table; its JSON schema is what the table is checked against.

    Attributes
    ----------
    case
        Id of the case; becomes the name of its folder.
    path
        DICOM folder or file, NIfTI, MHD/MHA or NRRD as an absolute path, or ``phantom:SEED``.
    cohort
        Name of the group the case belongs to; shards are cut per cohort.
    series_uid
        SeriesInstanceUID to take from a DICOM folder with several series, or None.
    mask
        Absolute path of the user's own lung mask, or None.
    annotations
        Absolute path of the known nodules, a label mask or a table (`drrx.io.annotations`), or None.
    has_nodules
        Whether the CT shows real nodules, ``yes`` or ``no``; None when nobody knows.
    extra
        The free columns, as text.
    written
        The paths above as the table writes them. They stay the same when table and CTs move together, and when a table
        of absolute paths moves alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    case: str = Field(pattern=ID_PATTERN, description="unique id: 1-64 of A-Z a-z 0-9 . _ - (no dot or dash first)")
    path: str = Field(min_length=1, description="CT file or DICOM folder, relative to the table; or phantom:SEED")
    cohort: str = Field(pattern=ID_PATTERN, description="group of the case: 1-64 of A-Z a-z 0-9 . _ -")
    series_uid: str | None = Field(default=None, pattern=r"^[0-9.]{1,64}$", description="SeriesInstanceUID to take")
    mask: str | None = Field(default=None, description="own lung mask, relative to the table")
    annotations: str | None = Field(
        default=None, description="known nodules, label mask or LUNA16 table, relative to the table"
    )
    has_nodules: Literal["yes", "no"] | None = Field(default=None, description="yes, no, or nothing if not known")
    extra: dict[str, str] = Field(default_factory=dict, description="free columns")
    written: dict[str, str] = Field(default_factory=dict, exclude=True, description="paths as the table writes them")

    @field_validator("path")
    @classmethod
    def _check_phantom(cls, path: str) -> str:
        if path.startswith("phantom:") and not PHANTOM.fullmatch(path):
            raise ValueError("a phantom is written phantom:SEED with a whole number, for example phantom:1")
        return path

    @field_validator("path", "mask", "annotations")
    @classmethod
    def _check_lengths(cls, path: str | None) -> str | None:
        longest = max(len(part.encode()) for part in (path or "").split("/"))
        if longest > MAX_NAME_BYTES or len((path or "").encode()) > MAX_PATH_BYTES:
            raise ValueError(f"names of up to {MAX_NAME_BYTES} bytes, {MAX_PATH_BYTES} in all")
        return path

    @property
    def phantom_seed(self) -> int | None:
        """Seed of the phantom to draw, or None when ``path`` is a file or folder."""
        match = PHANTOM.fullmatch(self.path)
        return int(match[1]) if match else None


def make_schema() -> dict[str, Any]:
    """Return the JSON schema of one row."""
    return CohortRow.model_json_schema()


def read_cohort(path: Path, cases: Collection[str] | None = None) -> tuple[CohortRow, ...]:
    """Read and check a cohort table (TSV or CSV, UTF-8, every value is text).

    Parameters
    ----------
    path
        Table with a header line. Blank lines and lines that begin with ``#`` are skipped.
    cases
        Read the rows of these only: a job with eight cases of 100,000 need not check the others again. None: all.

    Returns
    -------
    tuple of CohortRow
        In the order of the table; relative paths are resolved against the table's folder.

    Raises
    ------
    DrrxError
        Not readable, a column missing, a bad value or a duplicate; it names row and column and counts all problems.
    """
    path = Path(path)
    header, lines = _read_lines(path)
    if cases is not None:
        column, wanted = header.index("case"), set(cases)
        lines = [line for line in lines if wanted.intersection(line[1][column : column + 1])]
    rows: list[CohortRow] = []
    problems: list[tuple[int, str, str, str]] = []  # row, column, found, needed
    seen: dict[str, int] = {}
    for number, values in lines:
        row = _make_row(header, values, number, path.parent, problems)
        if row is None:
            continue
        first = seen.setdefault(row.case.casefold(), number)  # some file systems fold case
        if first != number:
            problems.append((number, "case", f"{row.case!r} again (first in row {first})", "a case id of its own"))
        rows.append(row)
    if problems:
        raise _make_error(path, problems)
    if not rows and cases is None:
        raise _table_error(path, "no rows", "at least one case", "Add a line: case, path, cohort.")
    return tuple(rows)


def _read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = read_text(path)
    except (CaseRefused, OSError) as error:
        found = error.found if isinstance(error, CaseRefused) else str(error.strerror)
        raise _table_error(path, found, "a readable UTF-8 table", "Check the path, or save it as UTF-8.") from error
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    delimiter = max("\t,;", key=first.count)
    # Strict: a quote that is never closed would swallow the cases of all lines after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [value.strip() for value in values]) for values in reader]
    except csv.Error as error:
        raise _table_error(
            path, f"row {reader.line_num}: {error}", "cells of less than 131,072 letters, quotes that are closed",
            "Put quotes around a whole cell or nowhere; a quote inside a quoted cell is written twice.",
        ) from error  # fmt: skip
    lines = [(number, values) for number, values in lines if any(values) and not values[0].startswith("#")]
    if not lines:
        raise _table_error(path, "an empty table", "a header line and a line per case", HEADER_HINT)
    header = lines[0][1]
    _check_header(path, header)
    return header, lines[1:]


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        shown = ", ".join(name[:MAX_CELL_SHOWN] for name in header[:MAX_NUM_TOLD])
        raise _table_error(path, f"columns {shown}", f"also {', '.join(missing)}", HEADER_HINT)
    twice = sorted({name for name in header if header.count(name) > 1 or not name})
    if twice:
        raise _table_error(path, f"column {_show(twice[0])} twice or unnamed", "each column once, named", HEADER_HINT)


def _make_row(
    header: list[str], values: list[str], number: int, folder: Path, problems: list[tuple[int, str, str, str]]
) -> CohortRow | None:
    if len(values) > len(header):
        problems.append((number, header[-1], f"{len(values)} values", f"{len(header)} values, as in the header"))
        return None
    cells = dict(zip(header, values + [""] * (len(header) - len(values)), strict=True))
    known = {name: cells[name] for name in REQUIRED}
    known |= {name: cells[name] for name in OPTIONAL if cells.get(name)}
    extra = {name: value for name, value in cells.items() if name not in REQUIRED + OPTIONAL}
    try:
        row = CohortRow(**known, extra=extra)
    except ValidationError as error:
        for item in error.errors():
            column = str(item["loc"][0])
            needed = CohortRow.model_fields[column].description or item["msg"]
            if "bytes" in item["msg"]:
                needed = item["msg"].removeprefix("Value error, ")
            problems.append((number, column, _show(item["input"]) if item["input"] else "nothing", needed))
        return None
    return row.model_copy(update=_resolve(row, folder))


def _show(cell: str) -> str:
    return repr(cell) if len(cell) <= MAX_CELL_SHOWN else f"{cell[:MAX_CELL_SHOWN]!r} and {len(cell)} letters in all"


def _resolve(row: CohortRow, folder: Path) -> dict[str, Any]:
    found = {
        "mask": row.mask,
        "annotations": row.annotations,
        "path": None if row.phantom_seed is not None else row.path,
    }
    written = {name: value for name, value in found.items() if value}
    # Unlike Path.expanduser, os.path's leaves the name of a user who is not there as it is: no such file, later.
    # Links are left as they are: asking the disk for each part of 100,000 paths takes longer than all the rest.
    paths = {name: str(folder.absolute() / os.path.expanduser(value)) for name, value in written.items()}  # noqa: PTH111
    return {**paths, "written": written}


def _make_error(path: Path, problems: list[tuple[int, str, str, str]]) -> DrrxError:
    number, column, found, needed = problems[0]
    told = "; ".join(f"row {row}, column {name}: {what}" for row, name, what, _ in problems[1:MAX_NUM_TOLD])
    rest = ", ".join(str(row) for row in sorted({row for row, *_ in problems[MAX_NUM_TOLD:]}))
    told += f"; and in the rows {rest}" if rest else ""
    more = f" {len(problems) - 1} more problem(s): {told}." if told else ""
    return DrrxError(
        where=f"{path.name} row {number}, column {column}", found=found, needed=needed,
        hint=f"Rows are counted as lines of the file.{more}",
    )  # fmt: skip


def _table_error(path: Path, found: str, needed: str, hint: str) -> DrrxError:
    return DrrxError(where=path.name, found=found, needed=needed, hint=hint)
