"""The data set described for machines: Croissant 1.0 (MLCommons), JSON-LD that mlcroissant and search engines read."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import drrx
from drrx.dataset.about import ANNOTATION, BIASES, CITATION, LIMITS, MAKING, PRIVACY, SUMMARY, TITLE, USES
from drrx.dataset.entries import ImageEntry
from drrx.io.files import sha256_file, write_json

NAME = "croissant.json"
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
#: The context that Croissant 1.0 gives; readers warn of any other.
_CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "dct": "http://purl.org/dc/terms/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}  # fmt: skip
_FILES = (
    ("images.csv", "text/csv", "one row per image"), ("nodules.csv", "text/csv", "one row per nodule and image"),
    ("annotations.json", "application/json", "COCO: boxes, masks as run lengths, all numbers"),
    ("records.jsonl", "application/jsonlines", "the whole record of one image per line"),
)  # fmt: skip
_FOLDERS = (
    ("images", "*.png", "image/png", "restored radiographs, 16-bit gray, bone white"),
    ("drr", "*.png", "image/png", "the same before restoration"),
    ("masks", "*.png", "image/png", "visual mask of one nodule each, 0 or 255"),
    ("dicom", "*.dcm", "application/dicom", "the radiographs as DICOM, and their segmentations"),
)  # fmt: skip
#: Columns of the tables that are not numbers with a fraction.
_TEXT = {
    "image_id", "file_name", "drr_file_name", "mask_file_name", "case", "cohort", "patient", "split", "variant", "view",
    "role", "pair_id", "twin_id", "projection", "view_position", "patient_orientation", "nodule_id", "origin", "class",
    "kind", "margin", "attachment", "lobe_approx", "zone", "preset", "real_nodule_id", "licence", "source",
    "outside_view", "ct_has_nodules", "flags",
}  # fmt: skip
_WHOLE = {"num_nodules", "num_visible", "area_px", "visibility_class", "category_id", "num_attempts", "seed"}
_YES_NO = {"truth_visible", "truncated"}


def write_croissant(
    folder: Path, entries: Sequence[ImageEntry], names: Collection[str], date_published: str | None = None
) -> list[str]:
    """Write ``croissant.json``: the files with their sums, and the tables as records with typed fields.

    Parameters
    ----------
    folder
        The data set; its tables are written already.
    entries
        Its images, for the licences of their sources.
    names
        Its files, relative to ``folder``; folders without any are left out.
    date_published
        ``YYYY-MM-DD``; a data set that is not published has none, and mlcroissant then warns of that.

    Returns
    -------
    The file's name.
    """
    facts: dict[str, Any] = {
        "@context": _CONTEXT, "@type": "sc:Dataset", "name": TITLE, "description": SUMMARY,
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": drrx.__version__, "citeAs": CITATION, "license": list_licences(entries),
        "keywords": ["chest radiograph", "lung nodule", "detection", "segmentation", "synthetic data"],
        "distribution": _describe_files(folder, names),
        "recordSet": [_describe_table(folder, "images"), _describe_table(folder, "nodules"), _describe_masks()],
        "rai:dataCollection": MAKING, "rai:dataCollectionType": ["Software Collection", "Others"],
        "rai:dataAnnotationProtocol": ANNOTATION, "rai:machineAnnotationTools": [f"drrx {drrx.__version__}"],
        "rai:dataBiases": list(BIASES), "rai:dataLimitations": list(LIMITS), "rai:dataUseCases": list(USES),
        "rai:personalSensitiveInformation": PRIVACY,
    }  # fmt: skip
    if date_published:
        facts["datePublished"] = date_published
    if not any(name.startswith("masks/") for name in names):
        facts["recordSet"] = facts["recordSet"][:2]
    write_json(folder / NAME, facts)
    return [NAME]


def list_licences(entries: Sequence[ImageEntry]) -> list[str]:
    """Return the licences of the source CTs, each once; a CT without one is told of."""
    return sorted({entry.source.licence or "that of the source CTs, not stated" for entry in entries})


def _describe_files(folder: Path, names: Collection[str]) -> list[dict[str, Any]]:
    files = [
        {
            "@type": "cr:FileObject", "@id": name, "name": name, "description": text, "contentUrl": name,
            "encodingFormat": encoding, "contentSize": f"{(folder / name).stat().st_size} B",
            "sha256": sha256_file(folder / name),
        }
        for name, encoding, text in _FILES
        if name in names
    ]  # fmt: skip
    sets = [
        {
            "@type": "cr:FileSet", "@id": f"{name}-files", "name": f"{name}-files", "description": text,
            "encodingFormat": encoding, "includes": f"{name}/{pattern}",
        }
        for name, pattern, encoding, text in _FOLDERS
        if any(file.startswith(f"{name}/") for file in names)
    ]  # fmt: skip
    return files + sets


def _describe_table(folder: Path, table: str) -> dict[str, Any]:
    """Describe one of the two CSV files by its first line."""
    with (folder / f"{table}.csv").open(encoding="utf-8") as stream:
        columns = stream.readline().rstrip("\n").split(",")
    fields = [_describe_column(table, column) for column in columns]
    keys = [{"@id": f"{table}/{column}"} for column in ("image_id", "nodule_id") if column in columns]
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "key": keys, "field": fields}


def _describe_column(table: str, column: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field", "@id": f"{table}/{column}", "name": column, "dataType": find_type(table, column),
        "source": {"fileObject": {"@id": f"{table}.csv"}, "extract": {"column": column}},
    }  # fmt: skip


def find_type(table: str, column: str) -> str:
    """Return the schema.org type of a column."""
    if column in _TEXT:
        return "sc:Text"
    if column in _YES_NO:
        return "sc:Boolean"
    # In images.csv the image's own size, in nodules.csv that of the box.
    is_whole = column in _WHOLE or (table == "images" and column in ("width", "height"))
    return "sc:Integer" if is_whole else "sc:Float"


def _describe_masks() -> dict[str, Any]:
    """Describe the masks as images. The 16-bit images have no such field: mlcroissant clips them to 8 bits."""
    parts = (("file_name", "sc:Text", "fullpath"), ("content", "sc:ImageObject", "content"))
    fields = [
        {
            "@type": "cr:Field", "@id": f"masks/{name}", "name": name, "dataType": kind,
            "source": {"fileSet": {"@id": "masks-files"}, "extract": {"fileProperty": what}},
        }
        for name, kind, what in parts
    ]  # fmt: skip
    return {"@type": "cr:RecordSet", "@id": "masks", "name": "masks", "field": fields}
