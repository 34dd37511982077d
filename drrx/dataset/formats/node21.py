"""NODE21's ``metadata.csv``: for its baselines and the code of its participants.

The columns are those of the challenge's training set; ``x, y`` is the top-left corner in pixels of the image as it is
(there 1024 x 1024). Totally calcified nodules are no findings there: an image that shows no others is a negative.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import is_calcified, write_csv

FILE = "node21/metadata.csv"
COLUMNS = (
    "img_name", "label", "x", "y", "width", "height", "image_id", "split", "role", "nodule_id", "visibility_class",
)  # fmt: skip


def write_node21(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``node21/metadata.csv`` below ``folder`` and return its name; images lie in ``images``."""
    write_csv(folder / FILE, COLUMNS, (row for entry in entries for row in _rows(entry)))
    return [FILE]


def _rows(entry: ImageEntry) -> Iterator[dict[str, Any]]:
    """Yield a row per nodule; an image without any has one with label 0 and an empty box."""
    names = {"image_id": entry.image_id, "img_name": Path(entry.file_name).name}
    names |= {"split": entry.split, "role": entry.role}
    nodules = [nodule for nodule in entry.annotation.nodules if not is_calcified(nodule)]
    for nodule in nodules:
        box = dict(zip(("x", "y", "width", "height"), map(int, nodule.bbox_visual), strict=True))
        more = {"nodule_id": nodule.nodule.nodule_id, "visibility_class": nodule.visibility_class}
        yield {**names, "label": 1, **box, **more}
    if not nodules:
        yield {**names, "label": 0, "x": 0, "y": 0, "width": 0, "height": 0}
