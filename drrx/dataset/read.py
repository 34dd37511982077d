"""Find the files of every case and say which cases are left out, and why."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from drrx.dataset.entries import CaseOutcome, ImageEntry, Source, ViewFacts
from drrx.dataset.splits import choose_split
from drrx.errors import DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json
from drrx.records.annotation import ImageAnnotation
from drrx.records.case import CaseRecord
from drrx.records.variant import variant_role

LAST_STAGE = "annotate_cxr"
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s:'\",/]+/)+")


def without_folders(text: str) -> str:
    """Return ``text`` with absolute paths cut to file names, so that nothing of this machine goes into the data set."""
    return _FOLDERS.sub("", text)


def read_case(
    results: Path, row: CohortRow, views: Sequence[str], shares: Mapping[str, float]
) -> tuple[CaseOutcome, tuple[ImageEntry, ...]]:
    """Return what became of a case and its images; a case that lacks a file is refused as a whole.

    ``shares`` are those of the splits. The variants stand in the case's ``variants.json``, in the order of the images.
    """
    folder = results / "cases" / row.case
    try:
        outcome = _read_outcome(folder, row)
        if outcome.status == "refused":
            return outcome, ()
        variants = read_json(folder / "variants.json")["variants"]
        entries = tuple(_read_entry(folder, row, variant, view, shares) for view in views for variant in variants)
        outcome = replace(outcome, rejections=_read_rejections(folder, variants))
    except DrrxError as error:
        detail = without_folders(f"{error.where}: found {error.found}; needed {error.needed}.")
        return CaseOutcome(row.case, row.cohort, "refused", "MISSING_FILES", detail, error.hint), ()
    return outcome, entries


def read_source(row: CohortRow) -> Source:
    """Return the patient, licence and source that the cohort table tells of a case."""
    texts = {name: without_folders(row.extra.get(name, "")) for name in ("patient", "licence", "source")}
    return Source(texts["patient"] or row.case, texts["licence"], texts["source"])


def _read_outcome(folder: Path, row: CohortRow) -> CaseOutcome:
    """Ask the case's record, then the outcome of the last stage: a later stage may have refused the case too."""
    record_file, stage_file = folder / "case.json", folder / "stages" / f"{LAST_STAGE}.json"
    corrections: tuple[str, ...] = ()
    if record_file.is_file():
        record = CaseRecord.from_json(read_json(record_file))
        corrections = tuple(without_folders(f"{item.code}: {item.text}") for item in record.corrections)
        if record.is_refused:
            texts = (without_folders(record.detail), without_folders(record.hint))
            return CaseOutcome(row.case, row.cohort, "refused", record.code, *texts)
    if stage_file.is_file():
        stage = read_json(stage_file)
        if stage.get("status") != "done":
            code, detail, hint = (without_folders(str(stage.get(key, ""))) for key in ("code", "detail", "hint"))
            return CaseOutcome(row.case, row.cohort, "refused", code, detail, hint)
    return CaseOutcome(row.case, row.cohort, "corrected" if corrections else "accepted", corrections=corrections)


def _read_rejections(folder: Path, variants: Sequence[str]) -> dict[str, int]:
    """Return the rejected places over the variants; shams stand where their variants do."""
    total: Counter[str] = Counter()
    for variant in variants:
        if variant_role(variant) == "positive":
            total.update(read_json(folder / variant / "nodules.json").get("rejections", {}))
    return dict(sorted(total.items()))


def _read_entry(folder: Path, row: CohortRow, variant: str, view: str, shares: Mapping[str, float]) -> ImageEntry:
    names = ("cxr.png", "drr.png", "paths.npz", "annotation.json")
    cxr, drr, paths, record = (folder / variant / view / name for name in names)
    width, height = _read_size(cxr)
    if _read_size(drr) != (width, height):
        raise DrrxError(
            where=f"{variant}/{view}", found="DRR and CXR of different sizes", needed="images of one size",
            hint="Run again: the stages that made them do so anew.",
        )  # fmt: skip
    image_id, source = f"{row.case}_{variant}_{view}", read_source(row)
    annotation = ImageAnnotation.from_json(read_json(record))
    if (annotation.image_id, annotation.width, annotation.height) != (image_id, width, height):
        raise DrrxError(
            where=f"{variant}/{view}/annotation.json",
            found=f"{annotation.image_id}, {annotation.width} x {annotation.height}",
            needed=f"{image_id}, {width} x {height}", hint="Run again: annotate_cxr makes it anew.",
        )  # fmt: skip
    return ImageEntry(
        image_id=image_id, case=row.case, cohort=row.cohort, variant=variant, view=view, source=source,
        split=choose_split(source.patient, shares), facts=_read_facts(folder, view), width=width, height=height,
        cxr=cxr, drr=drr, paths=paths, annotation=annotation,
    )  # fmt: skip


def _read_facts(folder: Path, view: str) -> ViewFacts:
    try:
        return ViewFacts.from_json(read_json(folder / view / "projection.json"))
    except KeyError as error:
        raise DrrxError(
            where=f"{view}/projection.json", found=f"no {error}", needed="the record of a view",
            hint="Run again: project_ct makes it anew.",
        ) from error  # fmt: skip


def _read_size(path: Path) -> tuple[int, int]:
    """Return columns and rows from the file's header; pixels are not decoded."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise DrrxError(
            where="/".join(path.parts[-3:]), found="no readable image", needed="a PNG",
            hint="Run again; if it stays away, look at the log of the stage that makes it.",
        ) from error  # fmt: skip
