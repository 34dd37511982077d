"""What the page knows about every image, as compact rows: the names of the columns once, then values only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from drrx.dataset.entries import ImageEntry
from drrx.dataset.viewer.outline import make_outline
from drrx.records.annotation import Annotation, Signal

#: What an image is compared with, and the end of the colour scale of their difference.
Comparison = tuple[ImageEntry, float]


def make_data(entries: Sequence[ImageEntry], compared: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return the page's data, JSON-ready.

    Parameters
    ----------
    entries
        All images, in the order of the data set.
    compared
        By image id: what its difference is taken against, and the end of that difference's colour scale.

    Returns
    -------
    ``views`` and ``sources``: how images were taken and where the CTs come from, each once; ``images`` and
    ``nodules``: a table each, ``{"columns", "rows"}``. An image's ``nodules`` is its number of rows in the other table,
    which has the same order. Numbers have four significant digits, coordinates are pixels, outlines paths of SVG.
    """
    images = [_make_image(entry, compared.get(entry.image_id)) for entry in entries]
    nodules = [_make_nodule(nodule) for entry in entries for nodule in entry.annotation.nodules]
    return {
        "views": _share(images, "view_facts"), "sources": _share(images, "source"),
        "images": _make_table(images), "nodules": _make_table(nodules),
    }  # fmt: skip


def to_script(data: Any) -> str:
    """Return compact JSON that cannot end the script element it stands in, whatever its texts are."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII: also without U+2028
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _share(records: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """Return the different values of ``key`` in the order in which they come; their numbers replace them."""
    numbers: dict[str, int] = {}
    for record in records:
        record[key] = numbers.setdefault(json.dumps(record[key], sort_keys=True), len(numbers))
    return [json.loads(text) for text in numbers]


def _make_table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"columns": list(records[0]) if records else [], "rows": [list(record.values()) for record in records]}


def _make_image(entry: ImageEntry, comparison: Comparison | None) -> dict[str, Any]:
    other, scale = comparison or (None, None)
    return {
        "case": entry.case,
        "cohort": entry.cohort,
        "variant": entry.variant,
        "view": entry.view,
        "role": entry.role,
        "split": entry.split,
        "width": entry.width,
        "height": entry.height,
        "view_facts": entry.facts.to_json(),
        "source": asdict(entry.source),
        "leakage": _round(entry.annotation.leakage),
        "other": other and other.variant,
        "scale": scale,
        "nodules": len(entry.annotation.nodules),
    }


def _make_nodule(annotation: Annotation) -> dict[str, Any]:
    nodule = annotation.nodule
    return {
        "id": nodule.nodule_id,
        "origin": nodule.origin,
        "kind": nodule.kind,
        "margin": nodule.margin,
        "attachment": nodule.attachment,
        "zone": nodule.zone,
        "lobe": nodule.lobe_approx,
        "real_nodule": nodule.transplant and nodule.transplant.real_nodule_id,
        "diameter": _round(nodule.diameter_mm),
        "volume": _round(nodule.measures.volume_mm3),
        "hu": _round(nodule.measures.hu_mean_inserted),
        "lung": _round(nodule.measures.hu_lung_local),
        "world": [round(value, 1) for value in nodule.measures.centroid_world_mm],
        "center": [round(value, 2) for value in annotation.center_px],
        "boxes": [_shorten(box) for box in (annotation.bbox_visual, annotation.bbox_full, annotation.bbox_core)],
        "outline": make_outline(annotation.mask, annotation.bbox_visual),
        "magnification": _round(annotation.magnification),
        "path": _round(annotation.peak_path_mm),
        "log": _round(annotation.delta_log_peak),
        "mediastinum": _round(annotation.overlap.mediastinum_fraction),
        "bone": _round(annotation.overlap.bone_fraction),
        "truncated": int(annotation.truncated),
        "class": annotation.visibility_class,
        "drr": _make_signal(annotation.before),
        "cxr": annotation.after and _make_signal(annotation.after),
        "transfer": _round(annotation.contrast_transfer_ratio),
    }


def _make_signal(signal: Signal) -> list[float | None]:
    return [_round(value) for value in (signal.contrast_mean, signal.cnr, signal.d_prime)]


def _shorten(values: Sequence[float]) -> list[float]:
    """Write whole numbers without their ``.0``."""
    return [int(value) if value == int(value) else round(value, 2) for value in values]


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
