"""The nodules in the CT, as LUNA16 lists them: ``seriesuid,coordX,coordY,coordZ,diameter_mm`` in LPS millimetres."""

from collections.abc import Sequence
from pathlib import Path

from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import list_nodules, write_csv

FILE = "luna/annotations.csv"
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")


def write_luna(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``luna/annotations.csv`` below ``folder`` and return its name.

    ``seriesuid`` is ``<case>_<variant>``: the CT with that variant's nodules. A nodule stands there once, however many
    views show it.
    """
    rows = {}
    for entry, found in list_nodules(entries):
        x, y, z = found.nodule.measures.centroid_world_mm
        series = f"{entry.case}_{entry.variant}"
        values = (series, *(f"{value:.10g}" for value in (x, y, z)), found.nodule.diameter_mm)
        rows[series, found.nodule.nodule_id] = dict(zip(COLUMNS, values, strict=True))
    write_csv(folder / FILE, COLUMNS, rows.values())
    return [FILE]
