"""Nodules given by centre and diameter, in the form of LUNA16's ``annotations.csv``."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import NUMBER
from drrx.io.plain import read_text
from drrx.io.uid import hash_uid
from drrx.volume import Volume

COLUMNS = ("coordx", "coordy", "coordz", "diameter_mm")
SERIES = "seriesuid"
LUNG_BELOW_HU = -500
MAX_NUM_MARKS = 255
#: Wider than a lung: such a number is in another unit.
MAX_DIAMETER_MM = 150.0


class Mark(NamedTuple):
    """Centre (x, y, z), LPS mm, and diameter, mm, of one nodule."""

    center_mm: tuple[float, float, float]
    diameter_mm: float


def read_marks(path: Path, like: Volume, series_uid: str | None) -> tuple[Mark, ...]:
    """Read the rows of one series; see `drrx.io.annotations.read_annotations` for columns and errors."""
    header, lines = _read_lines(path)
    told = {line[header.index(SERIES)] for _, line in lines} if SERIES in header else set()
    if series_uid is None and len(told) > 1:
        raise _refuse(
            path.name, f"{len(told)} series", "rows of one series, or a SeriesInstanceUID of the CT",
            "Fill the column series_uid of the cohort table: it says which rows belong to this CT.",
        )  # fmt: skip
    if told and series_uid is not None:
        column = header.index(SERIES)
        lines = [item for item in lines if series_uid in (item[1][column], hash_uid(item[1][column]))]
    marks = tuple(_parse_mark(path, number, [line[header.index(name)] for name in COLUMNS]) for number, line in lines)
    for mark in marks:
        index = like.to_index(np.array(mark.center_mm))
        if (index < -0.5).any() or (index > np.array(like.shape) - 0.5).any():
            raise _refuse(
                path.name, f"a nodule at {mark.center_mm} mm, outside the CT", "centres inside the CT",
                "Centres are LPS mm, as DICOM and ITK count; RAS files need x and y with the other sign.",
                "ANNOTATIONS_MISMATCH",
            )  # fmt: skip
    return marks


def _read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    hint = "Check the path; it is relative to the cohort table."
    try:
        text = read_text(path)
    except CaseRefused as error:
        raise _refuse(path.name, error.found, "a readable table", hint) from error
    delimiter = max("\t,;", key=text.partition("\n")[0].count)
    # Strict: a quote that is never closed would swallow all lines after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = list(enumerate(reader, 1))
    except csv.Error as error:
        raise _refuse(path.name, f"line {reader.line_num}: {error}", "a table with closed quotes", hint) from error
    lines = [(number, [cell.strip() for cell in row]) for number, row in rows if any(row)]
    header = [name.lower() for name in lines[0][1]] if lines else []
    missing = [name for name in COLUMNS if name not in header]
    if missing or len(set(header)) < len(header):
        found = f"{len(header) or 'no'} columns" + ("" if missing else ", one of them twice")
        raise _refuse(path.name, found, f"also {', '.join(missing)}" if missing else "each column once",
                      "The header is seriesuid,coordX,coordY,coordZ,diameter_mm (capitals do not matter).")  # fmt: skip
    short = next((number for number, row in lines if len(row) != len(header)), None)
    if short is not None:
        raise _refuse(path.name, f"line {short} with another number of values", f"{len(header)} values",
                      "Give every line the columns of the header.")  # fmt: skip
    return header, lines[1:]


def _parse_mark(path: Path, number: int, cells: Sequence[str]) -> Mark:
    numbers = [float(cell) if NUMBER.fullmatch(cell) else np.nan for cell in cells]
    x, y, z, diameter = numbers
    if not (np.isfinite(numbers).all() and 0 < diameter <= MAX_DIAMETER_MM):
        # Only what is a number is repeated: other words may be those of a report.
        told = ", ".join(cell if NUMBER.fullmatch(cell) and len(cell) < 30 else "no number" for cell in cells)
        raise _refuse(path.name, f"line {number}: {told}", f"a centre and a diameter above 0 to {MAX_DIAMETER_MM:g} mm",
                      "Numbers have a point, not a comma, before the decimals.")  # fmt: skip
    return Mark((x, y, z), diameter)


def paint_balls(marks: Sequence[Mark], like: Volume) -> NDArray[np.uint8]:
    """Return a label map ``[slice, row, column]`` with nodule ``i`` (from 1) where a simple rule puts it.

    Voxels within the ball of the diameter and brighter than half-way between the lung around (median of the voxels
    below -500 HU, 3 to 10 mm outside the ball) and the core (median within a third of the radius); the whole ball
    where there is no such lung or the core is not brighter by 100 HU. The voxel at the centre always belongs to it.
    """
    if len(marks) > MAX_NUM_MARKS:
        raise _refuse("annotations", f"{len(marks)} nodules", f"at most {MAX_NUM_MARKS}", "Give those of this CT only.")
    labels = np.zeros(like.shape, dtype=np.uint8)
    for number, mark in enumerate(marks, 1):
        window, distance = _measure_distances(mark, like)
        hu, part = like.values[window], labels[window]
        inside = distance <= mark.diameter_mm / 2
        part[inside & (hu > _find_limit_hu(hu, distance, mark.diameter_mm / 2)) & (part == 0)] = number
        part[np.unravel_index(distance.argmin(), distance.shape)] = number
    return labels


def _measure_distances(mark: Mark, like: Volume) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return a window around a mark and the distance of its voxels from the centre, mm."""
    index, spacing = like.to_index(np.array(mark.center_mm)), np.array(like.spacing_mm)
    reach = (mark.diameter_mm / 2 + 10) / spacing
    low = np.maximum(np.floor(index - reach), 0).astype(int)
    high = np.minimum(np.ceil(index + reach) + 1, like.shape).astype(int)
    z, y, x = (((np.arange(a, b) - i) * s) ** 2 for a, b, i, s in zip(low, high, index, spacing, strict=True))
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return window, np.sqrt(z[:, None, None] + y[:, None] + x)


def _find_limit_hu(hu: NDArray[np.int16], distance: NDArray[np.float64], radius_mm: float) -> float:
    shell = hu[(distance >= radius_mm + 3) & (distance <= radius_mm + 10) & (hu < LUNG_BELOW_HU)]
    core = hu[distance <= max(radius_mm / 3, float(distance.min()))]
    if shell.size == 0 or np.median(core) < np.median(shell) + 100:
        return -np.inf
    return float(np.median(shell) + np.median(core)) / 2


def _refuse(where: str, found: str, needed: str, hint: str, code: str = "BAD_ANNOTATIONS") -> CaseRefused:
    return CaseRefused(code, where=f"annotations {where}", found=found, needed=needed, hint=hint)
