"""One HTML file: styles, program and data inside, pictures beside it; nothing comes from anywhere else."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files as package_files
from string import Template
from typing import Any

import drrx
from drrx.dataset.entries import CaseOutcome
from drrx.dataset.viewer.data import to_script

PROGRAM = ("data.js", "state.js", "filters.js", "grid.js", "panels.js", "facts.js", "detail.js", "main.js")
#: What each file is, or folder of files, or file whose name begins so.
KNOWN = {
    "annotations.json": "COCO: boxes, masks, how each image was taken",
    "contact_sheet.png": "overview as one picture",
    "croissant.json": "what the data set is, for machines (Croissant)",
    "data.yaml": "YOLO: its lists and classes; the labels are in labels/",
    "data_card.md": "what the data set is, for people",
    "data_card.png": "sizes, types, zones and visibility as one figure",
    "dicom": "radiographs for presentation, and segmentations",
    "drr": "radiographs before restoration, 16-bit PNG",
    "files.tsv": "size and checksum of every file",
    "images": "restored radiographs (CXR), 16-bit PNG; metadata.jsonl for Hugging Face",
    "images.csv": "one row per image",
    "index.html": "this page",
    "labels": "YOLO: one text per image",
    "luna": "nodules in the CTs, as LUNA16 lists them",
    "manifest.json": "settings, seed, versions, what became of every case",
    "masks": "visual mask of each nodule, 8-bit PNG",
    "nih": "boxes as in ChestX-ray14",
    "node21": "boxes as in NODE21",
    "nodules.csv": "one row per nodule and image",
    "path_maps": "millimetres inside each nodule, float32 TIFF",
    "previews": "small pictures of this page",
    "provenance.tsv": "inputs, seeds and code of every image",
    "records.jsonl": "one line per image: all that is known about it",
    "ro-crate-metadata.json": "what was made from what, for machines (RO-Crate)",
    "sha256sums.txt": "checksums, for sha256sum -c",
    "vindr": "boxes as in VinDr-CXR",
    "yolo": "YOLO: the images of a split",
}


def make_page(cases: Sequence[CaseOutcome], data: Mapping[str, Any], files: Sequence[str]) -> str:
    """Return the HTML.

    Parameters
    ----------
    cases
        What became of every case.
    data
        From ``make_data``.
    files
        Names of all files of the data set, relative to it.
    """
    style = _read("viewer.css")
    program = "\n".join(_read(name) for name in PROGRAM)
    folders = sorted({name.partition("/")[0] for name in files if "/" in name})
    return Template(_read("page.html")).substitute(
        version=escape(drrx.__version__), totals=_count_all(cases, data), style=style, program=program,
        data=to_script({**data, "folders": folders}),
        style_hash=_hash(style), program_hash=_hash(program), case_counts=_count_cases(cases),
        case_rows="".join(map(_make_case_row, cases)), file_rows=_make_file_rows(files, folders),
    )  # fmt: skip


def _read(name: str) -> str:
    return (package_files("drrx.dataset.viewer") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which the page's security policy knows its own program and styles, and no others."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _count_all(cases: Sequence[CaseOutcome], data: Mapping[str, Any]) -> str:
    images, nodules = data["images"]["rows"], data["nodules"]["rows"]
    visible = sum(dict(zip(data["nodules"]["columns"], row, strict=True))["class"] >= 2 for row in nodules)
    return f"{len(cases)} cases, {len(images)} images, {len(nodules)} nodules marked in them, {visible} visible"


def _count_cases(cases: Sequence[CaseOutcome]) -> str:
    statuses = Counter(case.status for case in cases)
    codes = Counter(case.code for case in cases if case.status == "refused")
    told = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none"
    why = ", ".join(f"{escape(code)} {count}" for code, count in codes.most_common())
    return f"{len(cases)} cases: {told}" + (f" ({why})" if why else "")


def _make_case_row(case: CaseOutcome) -> str:
    why = ": ".join(filter(None, (case.code, case.detail))) or "; ".join(case.corrections)
    rejected = ", ".join(f"{reason} {count}" for reason, count in sorted(case.rejections.items()))
    link = escape(case.case)
    if case.status != "refused":
        link = f'<a href="#case={link}">{link}</a>'
    status = f'<td><span class="status {case.status}">{case.status}</span></td>'
    return (
        f'<tr><th scope="row">{link}</th><td>{escape(case.cohort)}</td>{status}'
        f"<td>{escape(why)}</td><td>{escape(case.hint)}</td><td>{escape(rejected)}</td></tr>\n"
    )


def _make_file_rows(names: Sequence[str], folders: Sequence[str]) -> str:
    """Return a row per file, and one per folder with the number of files in it."""
    counts = Counter(name.partition("/")[0] for name in names)
    rows = []
    for name in sorted(counts, key=lambda name: (name in folders, name)):
        label = f"{name}/" if name in folders else name
        count = f"{counts[name]} file{'s' * (counts[name] > 1)}" if name in folders else ""
        what = KNOWN.get(name) or KNOWN.get(name.partition("_")[0], "")
        link = f'<a href="{escape(label)}">{escape(label)}</a>'
        rows.append(f'<tr><th scope="row">{link}</th><td>{what}</td><td>{count}</td></tr>\n')
    return "".join(rows)
