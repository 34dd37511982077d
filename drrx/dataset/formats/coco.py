"""COCO JSON: for pycocotools, torchvision, Detectron2, MMDetection."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import drrx
from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import is_calcified, list_nodules
from drrx.io.files import write_json
from drrx.records.annotation import Annotation
from drrx.records.variant import TWIN

FILE = "annotations.json"
CATEGORIES = (
    {"id": 1, "name": "nodule", "supercategory": "lung"},
    {"id": 2, "name": "calcified nodule", "supercategory": "lung"},
)
UNKNOWN_LICENCE = "as the source CTs"
_GEOMETRY = ("shape", "transplant")  # long lists of numbers; records.jsonl has them


def category_id(annotation: Annotation) -> int:
    """Return 2 for a calcified nodule, else 1: readers do not count calcified ones as suspicious."""
    return 2 if is_calcified(annotation) else 1


def write_coco(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``annotations.json`` below ``folder`` and return its name."""
    write_json(folder / FILE, make_coco(entries))
    return [FILE]


def make_coco(entries: Sequence[ImageEntry]) -> dict[str, Any]:
    """Return the COCO data: boxes are the visual ones, ``[x, y, width, height]`` from the image's top-left corner.

    Ids are numbered from 1 in the order of ``entries``. Images without nodules stay among the images, without
    annotations. Keys that COCO does not know carry the rest of the records; readers ignore them.
    """
    ids = {entry.image_id: number for number, entry in enumerate(entries, 1)}
    twins = {entry.pair_id: ids[entry.image_id] for entry in entries if entry.role == TWIN}
    licences = dict.fromkeys(entry.source.licence or UNKNOWN_LICENCE for entry in entries)
    numbers = {name: number for number, name in enumerate(licences, 1)}
    return {
        "info": {"description": "Synthetic chest radiographs with lung nodules (drrx)", "version": drrx.__version__},
        "licenses": [{"id": number, "name": name, "url": ""} for name, number in numbers.items()],
        "categories": [dict(category) for category in CATEGORIES],
        "images": [
            _image(entry, twins.get(entry.pair_id))
            | {"id": ids[entry.image_id], "license": numbers[entry.source.licence or UNKNOWN_LICENCE]}
            for entry in entries
        ],
        "annotations": [
            _annotation(nodule) | {"id": number, "image_id": ids[entry.image_id]}
            for number, (entry, nodule) in enumerate(list_nodules(entries), 1)
        ],
    }  # fmt: skip


def _image(entry: ImageEntry, twin: int | None) -> dict[str, Any]:
    return entry.facts.to_json() | asdict(entry.source) | {
        "file_name": entry.file_name, "drr_file_name": entry.drr_file_name, "width": entry.width,
        "height": entry.height, "image_id": entry.image_id, "case": entry.case, "cohort": entry.cohort,
        "split": entry.split, "variant": entry.variant, "view": entry.view, "role": entry.role,
        "pair_id": entry.pair_id, "twin_id": None if entry.role == TWIN else twin, "leakage": entry.annotation.leakage,
        "outside_view": list(entry.annotation.outside_view),
    }  # fmt: skip


def _annotation(found: Annotation) -> dict[str, Any]:
    data = found.to_json()
    data["nodule"] = {key: value for key, value in data["nodule"].items() if key not in _GEOMETRY}
    mask, area = data.pop("mask"), data.pop("area_px")
    return data | {
        "category_id": category_id(found), "bbox": list(found.bbox_visual), "area": float(area), "iscrowd": 0,
        "segmentation": mask | {"size": list(mask["size"])},
    }  # fmt: skip
