"""The annotations as COCO JSON, and as tables."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import drrx
from drrx.dataset.entries import TWIN, ImageEntry, ViewFacts
from drrx.records.annotation import Annotation

CATEGORIES = (
    {"id": 1, "name": "nodule", "supercategory": "lung"},
    {"id": 2, "name": "calcified nodule", "supercategory": "lung"},
)
IMAGE_COLUMNS = (
    "image_id", "file_name", "drr_file_name", "case", "cohort", "variant", "view", "role", "pair_id", "width",
    "height", "num_nodules", "num_visible", "leakage", "projection", "view_position", "patient_orientation",
    "row_spacing_mm", "column_spacing_mm", "source_to_detector_mm", "rotation_deg", "tilt_deg", "roll_deg",
    "distance_mm", "shift_column_mm", "shift_row_mm",
)  # fmt: skip
NODULE_COLUMNS = (
    "image_id", "file_name", "nodule_id", "class", "kind", "margin", "attachment", "lobe_approx", "diameter_mm",
    "volume_mm3", "center_x_mm", "center_y_mm", "center_z_mm", "x", "y", "width", "height", "area_px",
    "diameter_patient_mm", "magnification", "peak_path_mm", "delta_log_peak", "contrast_before", "contrast_after",
    "cnr_before", "cnr_after", "d_prime_before", "d_prime_after", "contrast_transfer_ratio", "mediastinum_fraction",
    "bone_fraction", "visibility_class", "truth_visible", "truncated",
)  # fmt: skip


def category_id(annotation: Annotation) -> int:
    """Return 2 for a calcified nodule, else 1: readers do not count calcified ones as suspicious."""
    return 2 if annotation.nodule.kind == "calcified" else 1


def make_coco(entries: Sequence[ImageEntry]) -> dict[str, Any]:
    """Return the COCO data: boxes are the visual ones, ``[x, y, width, height]`` from the image's top-left corner.

    Ids are numbered from 1 in the order of ``entries``. Twins stay among the images, without annotations. Keys that
    COCO does not know carry the rest of the records; readers ignore them.
    """
    ids = {entry.image_id: number for number, entry in enumerate(entries, 1)}
    twins = {entry.pair_id: ids[entry.image_id] for entry in entries if entry.role == TWIN}
    pairs = [(ids[entry.image_id], entry, nodule) for entry in entries for nodule in entry.annotation.nodules]
    return {
        "info": {"description": "Synthetic chest radiographs with lung nodules (drrx)", "version": drrx.__version__},
        "licenses": [{"id": 1, "name": "as the source CTs", "url": ""}],
        "categories": [dict(category) for category in CATEGORIES],
        "images": [_image(ids[entry.image_id], entry, twins.get(entry.pair_id)) for entry in entries],
        "annotations": [_annotation(number, *pair) for number, pair in enumerate(pairs, 1)],
    }  # fmt: skip


def _image(number: int, entry: ImageEntry, twin: int | None) -> dict[str, Any]:
    return entry.facts.to_json() | {
        "id": number, "license": 1, "file_name": entry.file_name, "drr_file_name": entry.drr_file_name,
        "width": entry.width, "height": entry.height, "image_id": entry.image_id, "case": entry.case,
        "cohort": entry.cohort, "variant": entry.variant, "view": entry.view, "role": entry.role,
        "pair_id": entry.pair_id, "twin_id": None if entry.role == TWIN else twin, "leakage": entry.annotation.leakage,
    }  # fmt: skip


def _annotation(number: int, image: int, entry: ImageEntry, nodule: Annotation) -> dict[str, Any]:
    more = {key: value for key, value in nodule.to_json().items() if key not in ("mask", "area_px")}
    return more | {
        "id": number, "image_id": image, "category_id": category_id(nodule), "bbox": list(nodule.bbox_visual),
        "area": float(nodule.area_px), "iscrowd": 0, "visibility_class": nodule.visibility_class,
        "segmentation": {"size": list(nodule.mask.size), "counts": nodule.mask.counts},
        "mask_file_name": entry.mask_file_name(nodule.nodule.nodule_id),
    }  # fmt: skip


def make_images_csv(entries: Sequence[ImageEntry]) -> str:
    """Return one row per image."""
    return _make_csv(IMAGE_COLUMNS, (_image_row(entry) for entry in entries))


def _image_row(entry: ImageEntry) -> dict[str, Any]:
    nodules = entry.annotation.nodules
    names = ("image_id", "file_name", "drr_file_name", "case", "cohort", "variant", "view", "role", "pair_id")
    return {name: getattr(entry, name) for name in (*names, "width", "height")} | {
        "num_nodules": len(nodules), "num_visible": sum(nodule.truth_visible for nodule in nodules),
        "leakage": entry.annotation.leakage, **_view_cells(entry.facts),
    }  # fmt: skip


def _view_cells(facts: ViewFacts) -> dict[str, Any]:
    row_mm, column_mm = facts.pixel_spacing_mm
    return {
        "projection": facts.projection, "view_position": facts.view_position,
        "patient_orientation": "\\".join(facts.patient_orientation), "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm, "source_to_detector_mm": facts.source_to_detector_mm, **facts.pose,
    }  # fmt: skip


def make_nodules_csv(entries: Sequence[ImageEntry]) -> str:
    """Return one row per nodule and image."""
    pairs = ((entry, nodule) for entry in entries for nodule in entry.annotation.nodules)
    return _make_csv(NODULE_COLUMNS, (_nodule_row(entry, nodule) for entry, nodule in pairs))


def _nodule_row(entry: ImageEntry, nodule: Annotation) -> dict[str, Any]:
    sources = (nodule.nodule.measures, nodule.nodule, nodule)
    row: dict[str, Any] = {n: getattr(s, n) for s in sources for n in NODULE_COLUMNS if hasattr(s, n)}
    row |= {"image_id": entry.image_id, "file_name": entry.file_name}
    row |= {"class": CATEGORIES[category_id(nodule) - 1]["name"]}
    row |= dict(
        zip(("center_x_mm", "center_y_mm", "center_z_mm"), nodule.nodule.measures.centroid_world_mm, strict=True)
    )
    row |= dict(zip(("x", "y", "width", "height"), nodule.bbox_visual, strict=True))
    for when, signal in (("before", nodule.before), ("after", nodule.after)):
        if signal is not None:
            row |= {f"contrast_{when}": signal.contrast_mean, f"cnr_{when}": signal.cnr}
            row |= {f"d_prime_{when}": signal.d_prime}
    overlap = nodule.overlap
    return row | {"mediastinum_fraction": overlap.mediastinum_fraction, "bone_fraction": overlap.bone_fraction}


def _make_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else ("" if value is None else value)
