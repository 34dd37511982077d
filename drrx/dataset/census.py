"""What a data set holds, counted."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from drrx.dataset.entries import ImageEntry
from drrx.records.annotation import Annotation
from drrx.records.nodule import Attachment, Kind, Margin, Nodule, Origin, Zone
from drrx.records.variant import Role

Rows = list[list[str]]

ROLES: tuple[str, ...] = get_args(Role)
KINDS: tuple[str, ...] = get_args(Kind)
MARGINS: tuple[str, ...] = get_args(Margin)
ATTACHMENTS: tuple[str, ...] = get_args(Attachment)
ZONES: tuple[str, ...] = get_args(Zone)
ORIGINS: tuple[str, ...] = get_args(Origin)
CLASSES = ("hidden", "subtle", "visible", "obvious")
#: Lower ends of the classes of diameter, mm; 6, 8, 15 and 30 are limits that guidelines use.
SIZES_MM = (0, 6, 8, 10, 15, 20, 30)


def list_distinct(entries: Sequence[ImageEntry]) -> list[Nodule]:
    """Return every nodule once, however many images show it; a real one is the same in all variants of its CT."""
    found = {}
    for entry in entries:
        for item in entry.annotation.nodules:
            variant = "" if item.nodule.origin == "real" else entry.variant
            found[entry.case, variant, item.nodule.nodule_id] = item.nodule
    return list(found.values())


def list_shown(entries: Sequence[ImageEntry]) -> list[Annotation]:
    """Return every nodule as often as images show it."""
    return [nodule for entry in entries for nodule in entry.annotation.nodules]


def name_size(diameter_mm: float) -> str:
    """Return the class of a diameter, such as ``8 to 10 mm``."""
    number = sum(diameter_mm >= low for low in SIZES_MM)
    if number == len(SIZES_MM):
        return f"{SIZES_MM[-1]} mm and more"
    return f"below {SIZES_MM[1]} mm" if number == 1 else f"{SIZES_MM[number - 1]} to {SIZES_MM[number]} mm"


def list_sizes() -> list[str]:
    """Return the classes of diameters, small ones first."""
    return [name_size(low) for low in SIZES_MM]


def count_images(entries: Sequence[ImageEntry], group: Callable[[ImageEntry], str]) -> Rows:
    """Return a row per group: its name, patients, images of each role, nodules shown; the last row is the sum."""
    names = sorted({group(entry) for entry in entries})
    parts = [(name, [entry for entry in entries if group(entry) == name]) for name in names]
    return [_count_roles(name, part) for name, part in (*parts, ("all", list(entries)))]


def _count_roles(name: str, part: Sequence[ImageEntry]) -> list[str]:
    roles = Counter(entry.role for entry in part)
    patients = len({entry.source.patient for entry in part})
    return [name, str(patients), *(str(roles[role]) for role in get_args(Role)), str(len(list_shown(part)))]


def cross(pairs: Iterable[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> Rows:
    """Return how often each pair of names occurs, with sums at the right and below; rows of nothing are left out."""
    counts = Counter(pairs)
    table = []
    for row in rows:
        cells = [counts[row, column] for column in columns]
        if sum(cells):
            table.append([row, *map(str, cells), str(sum(cells))])
    below = [sum(counts[row, column] for row in rows) for column in columns]
    return [*table, ["all", *map(str, below), str(sum(below))]]


def tell_median(values: Iterable[float | None], digits: int) -> str:
    """Return the median of those values that are there, or a dash."""
    there = [value for value in values if value is not None]
    return f"{statistics.median(there):.{digits}f}" if there else "-"
