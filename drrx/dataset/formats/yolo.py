"""YOLO: a text file per image, found from the image's path by ``images`` -> ``labels``; for ultralytics and others."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.coco import CATEGORIES, category_id
from drrx.io.files import write_text

FILE = "data.yaml"


def write_yolo(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``labels/<image_id>.txt``, ``yolo_<split>.txt`` and ``data.yaml`` below ``folder`` and return their names.

    A label is ``class x y width height``: the middle and the size of the visual box, in shares of the image's width
    and height. The file of an image without nodules is empty. The lists name images by ``./images/...``, which
    ultralytics reads from the list's own folder.
    """
    splits = sorted({entry.split for entry in entries})
    lists = {split: f"yolo_{split}.txt" for split in splits}
    for split, name in lists.items():
        write_text(folder / name, "".join(f"./{e.file_name}\n" for e in entries if e.split == split))
    classes = {number: str(category["name"]) for number, category in enumerate(CATEGORIES)}
    write_text(folder / FILE, yaml.safe_dump({**lists, "names": classes}, sort_keys=False))
    labels = [f"labels/{entry.image_id}.txt" for entry in entries]
    for name, entry in zip(labels, entries, strict=True):
        write_text(folder / name, make_labels(entry))
    return [FILE, *lists.values(), *labels]


def make_labels(entry: ImageEntry) -> str:
    """Return the text of one label file."""
    lines = []
    for nodule in entry.annotation.nodules:
        x, y, width, height = nodule.bbox_visual
        middle = ((x + width / 2) / entry.width, (y + height / 2) / entry.height)
        shares = (*middle, width / entry.width, height / entry.height)
        lines.append(" ".join([str(category_id(nodule) - 1), *(f"{share:.8f}" for share in shares)]) + "\n")
    return "".join(lines)
