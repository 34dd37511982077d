"""The tables that every data set has: one row per image, one row per nodule, and the whole records line by line."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drrx.dataset.entries import ImageEntry, ViewFacts
from drrx.io.files import write_text
from drrx.records.annotation import Annotation

IMAGE_COLUMNS = (
    "image_id", "file_name", "drr_file_name", "case", "patient", "cohort", "split", "variant", "view", "role",
    "pair_id", "width", "height", "num_nodules", "num_visible", "leakage", "projection", "view_position",
    "patient_orientation", "row_spacing_mm", "column_spacing_mm", "source_to_detector_mm", "rotation_deg", "tilt_deg",
    "roll_deg", "distance_mm", "shift_column_mm", "shift_row_mm", "licence", "source", "ct_has_nodules", "flags",
)  # fmt: skip
NODULE_COLUMNS = (
    "image_id", "file_name", "split", "role", "nodule_id", "class", "origin", "kind", "margin", "attachment", "preset",
    "seed", "lobe_approx", "zone", "diameter_mm", "volume_mm3", "long_mm", "middle_mm", "short_mm",
    "long_axis_axial_mm", "short_axis_axial_mm", "mean_axis_axial_mm", "solid_core_diameter_mm",
    "consolidation_tumor_ratio", "hu_body", "hu_mean_inserted", "hu_lung_local", "pleura_distance_mm", "center_x_mm",
    "center_y_mm", "center_z_mm", "index_z", "index_y", "index_x", "center_x", "center_y", "centroid_x", "centroid_y",
    "x", "y", "width", "height", "full_x", "full_y", "full_width", "full_height", "area_px", "diameter_detector_mm",
    "diameter_patient_mm", "magnification", "peak_path_mm", "delta_log_peak", "delta_log_mean", "contrast_primary",
    "contrast_total", "contrast_before", "contrast_after", "cnr_before", "cnr_after", "d_prime_before",
    "d_prime_after", "contrast_transfer_ratio", "mediastinum_fraction", "subdiaphragm_fraction", "bone_fraction",
    "vessel_fraction", "bone_path_mm", "visibility_class", "truth_visible", "truncated",
)  # fmt: skip


def is_calcified(annotation: Annotation) -> bool:
    """Return whether readers would call the nodule calcified, which they do not count as suspicious."""
    return annotation.nodule.kind == "calcified"


def list_nodules(entries: Sequence[ImageEntry]) -> list[tuple[ImageEntry, Annotation]]:
    """Return all nodules with their images, in order."""
    return [(entry, nodule) for entry in entries for nodule in entry.annotation.nodules]


def write_tables(folder: Path, entries: Sequence[ImageEntry], shared: Mapping[str, Any] | None = None) -> list[str]:
    """Write ``images.csv``, ``nodules.csv`` and ``records.jsonl`` below ``folder`` and return their names.

    ``shared`` goes into every line of ``records.jsonl``.
    """
    write_csv(folder / "images.csv", IMAGE_COLUMNS, (_image_row(entry) for entry in entries))
    write_csv(folder / "nodules.csv", NODULE_COLUMNS, (_nodule_row(*item) for item in list_nodules(entries)))
    lines = (_record_line(entry, shared or {}) for entry in entries)
    write_text(folder / "records.jsonl", "".join(lines))
    return ["images.csv", "nodules.csv", "records.jsonl"]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with commas and a header; numbers have six digits, booleans are 0 or 1, missing ones are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: format_cell(value) for key, value in row.items()})
    write_text(path, text.getvalue())


def format_cell(value: Any) -> Any:
    """Return what stands in a table for ``value``."""
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else ("" if value is None else value)


def _record_line(entry: ImageEntry, shared: Mapping[str, Any]) -> str:
    record = entry.annotation.to_json() | {
        "cohort": entry.cohort,
        "split": entry.split,
        **asdict(entry.source),
        **shared,
    }
    return json.dumps(record, sort_keys=True, allow_nan=False) + "\n"


def _image_row(entry: ImageEntry) -> dict[str, Any]:
    nodules = entry.annotation.nodules
    names = ("image_id", "file_name", "drr_file_name", "case", "cohort", "split", "variant", "view", "role", "pair_id")
    return {name: getattr(entry, name) for name in (*names, "width", "height")} | {
        "num_nodules": len(nodules), "num_visible": sum(nodule.truth_visible for nodule in nodules),
        "leakage": entry.annotation.leakage, **asdict(entry.source), **_view_cells(entry.facts),
        **_ct_cells(entry.annotation.facts),
    }  # fmt: skip


def _ct_cells(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the CT's own nodules (yes, no, unknown), and the flags of its reading."""
    known = facts.get("ct", {}).get("source", {}).get("has_nodules", "unknown")
    return {"ct_has_nodules": known, "flags": " ".join(facts.get("quality", {}).get("flags", ()))}


def _view_cells(facts: ViewFacts) -> dict[str, Any]:
    row_mm, column_mm = facts.pixel_spacing_mm
    return {
        "projection": facts.projection, "view_position": facts.view_position,
        "patient_orientation": "\\".join(facts.patient_orientation), "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm, "source_to_detector_mm": facts.source_to_detector_mm, **facts.pose,
    }  # fmt: skip


def _nodule_row(entry: ImageEntry, found: Annotation) -> dict[str, Any]:
    nodule, measures = found.nodule, found.nodule.measures
    sources = (entry, measures, nodule, found.overlap, found)
    taken = ("x", "y", "width", "height")
    row = {name: getattr(s, name) for s in sources for name in NODULE_COLUMNS if name not in taken and hasattr(s, name)}
    groups = {
        ("long_mm", "middle_mm", "short_mm"): measures.axes_mm,
        ("center_x_mm", "center_y_mm", "center_z_mm"): measures.centroid_world_mm,
        ("index_z", "index_y", "index_x"): found.center_index_zyx or (None, None, None),
        ("center_x", "center_y"): found.center_px, ("centroid_x", "centroid_y"): found.centroid_px,
        taken: found.bbox_visual, ("full_x", "full_y", "full_width", "full_height"): found.bbox_full,
    }  # fmt: skip
    for names, values in groups.items():
        row |= dict(zip(names, values, strict=True))
    for when, signal in (("before", found.before), ("after", found.after)):
        if signal is not None:
            row |= {f"contrast_{when}": signal.contrast_mean, f"cnr_{when}": signal.cnr}
            row |= {f"d_prime_{when}": signal.d_prime}
    return row | {"class": "calcified nodule" if is_calcified(found) else "nodule"}
