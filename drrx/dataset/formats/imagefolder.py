"""Hugging Face's ImageFolder: ``load_dataset("imagefolder", data_dir="<data set>/images")``."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.coco import category_id
from drrx.io.files import write_text

FILE = "images/metadata.jsonl"


def write_imagefolder(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``images/metadata.jsonl`` below ``folder``, a line per image, and return its name.

    ``objects`` holds lists of the same length: ``bbox`` ``[x, y, width, height]`` in pixels (the visual box),
    ``categories`` counted from 0 (nodule, calcified nodule), ids, areas and visibility; empty without nodules.
    """
    write_text(folder / FILE, "".join(json.dumps(_line(entry)) + "\n" for entry in entries))
    return [FILE]


def _line(entry: ImageEntry) -> dict[str, Any]:
    nodules = entry.annotation.nodules
    names = ("image_id", "case", "split", "role", "variant", "view", "pair_id", "width", "height")
    return {"file_name": Path(entry.file_name).name, **{name: getattr(entry, name) for name in names}} | {
        **asdict(entry.source),
        "objects": {
            "bbox": [list(nodule.bbox_visual) for nodule in nodules],
            "categories": [category_id(nodule) - 1 for nodule in nodules],
            "id": [nodule.nodule.nodule_id for nodule in nodules],
            "area": [nodule.area_px for nodule in nodules],
            "visibility_class": [nodule.visibility_class for nodule in nodules],
        },
    }
