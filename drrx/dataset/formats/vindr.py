"""Tables as those of VinDr-CXR: a file per split, boxes by their corners, and the sizes its users miss."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import is_calcified, write_csv

COLUMNS = (
    "image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max", "role", "nodule_id", "visibility_class",
)  # fmt: skip
SIZES = "vindr/image_sizes.csv"
READER = "drrx"  # stands for the radiologist


def write_vindr(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``vindr/annotations_<split>.csv`` and ``vindr/image_sizes.csv`` below ``folder`` and return their names.

    Boxes are in pixels of the images as they are: ``x_max - x_min`` is the width. A calcified nodule is a
    ``Calcification``, any other a ``Nodule/Mass``; an image without nodules has one row ``No finding`` without box.
    """
    names = []
    for split in sorted({entry.split for entry in entries}):
        names.append(f"vindr/annotations_{split}.csv")
        rows = (row for entry in entries if entry.split == split for row in _rows(entry))
        write_csv(folder / names[-1], COLUMNS, rows)
    sizes = ({name: getattr(entry, name) for name in ("image_id", "split", "width", "height")} for entry in entries)
    write_csv(folder / SIZES, ("image_id", "split", "width", "height"), sizes)
    return [*names, SIZES]


def _rows(entry: ImageEntry) -> Iterator[dict[str, Any]]:
    names = {"image_id": entry.image_id, "rad_id": READER, "role": entry.role}
    for nodule in entry.annotation.nodules:
        x, y, width, height = map(int, nodule.bbox_visual)
        yield {
            **names, "class_name": "Calcification" if is_calcified(nodule) else "Nodule/Mass", "x_min": x, "y_min": y,
            "x_max": x + width, "y_max": y + height, "nodule_id": nodule.nodule.nodule_id,
            "visibility_class": nodule.visibility_class,
        }  # fmt: skip
    if not entry.annotation.nodules:
        yield {**names, "class_name": "No finding"}
