"""What the data set is made of: finds the files of every case and says which cases are left out, and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from PIL import Image

from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.io.files import read_json
from drrx.records.annotation import ImageAnnotation
from drrx.records.case import CaseRecord

TWIN = "twin"
LAST_STAGE = "annotate_cxr"
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s:'\",/]+/)+")


@dataclass(frozen=True)
class CaseOutcome:
    """What became of a case.

    Attributes
    ----------
    case, cohort
        From the cohort table.
    status
        ``accepted``, ``corrected`` (accepted after the ``corrections``) or ``refused`` (not in the data set).
    code, detail, hint
        Why it was refused, and what to do; empty otherwise.
    corrections
        Texts of what was repaired.
    """

    case: str
    cohort: str
    status: Literal["accepted", "corrected", "refused"]
    code: str = ""
    detail: str = ""
    hint: str = ""
    corrections: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class ViewFacts:
    """How the images of one view of a case were taken; all variants share it.

    Attributes
    ----------
    projection
        ``pa``, ``ap`` or ``lateral``.
    view_position, patient_orientation
        The same in DICOM's words: ``PA``, ``AP``, ``LL``; what lies at the image's right and bottom (``L``, ``F``).
    pixel_spacing_mm
        Between rows and between columns on the detector.
    source_to_detector_mm, source_to_center_mm
        From the source to the detector and to the middle of the CT, along the detector's normal.
    pose
        Turns in degrees and shifts in mm of a jittered view; zeros for an exact one.
    """

    projection: str
    view_position: str
    patient_orientation: tuple[str, str]
    pixel_spacing_mm: tuple[float, float]
    source_to_detector_mm: float
    source_to_center_mm: float
    pose: Mapping[str, float]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Pick the facts from a view's ``projection.json``."""
        view = View.from_json(record["view"])
        right, bottom = record["patient_orientation"]
        return cls(
            record["projection"], record["view_position"], (right, bottom), view.pixel_spacing_mm,
            view.source_to_detector_mm, record["source_to_center_mm"], record["pose"],
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ImageEntry:
    """One image of the data set and where its files come from.

    Attributes
    ----------
    image_id
        ``<case>_<variant>_<view>``.
    case, cohort, variant, view
        Where it belongs; variant ``twin`` has no nodule.
    facts
        How it was taken.
    width, height
        Columns and rows.
    cxr, drr
        Restored image and DRR, 16-bit PNG.
    annotation
        Its record; without nodules for a twin.
    """

    image_id: str
    case: str
    cohort: str
    variant: str
    view: str
    facts: ViewFacts
    width: int
    height: int
    cxr: Path
    drr: Path
    annotation: ImageAnnotation

    @property
    def pair_id(self) -> str:
        """``<case>_<view>``: what a twin and its positives share."""
        return f"{self.case}_{self.view}"

    @property
    def role(self) -> str:
        """``twin`` or ``positive``."""
        return TWIN if self.variant == TWIN else "positive"

    @property
    def file_name(self) -> str:
        """The restored image, relative to the data set."""
        return f"images/{self.image_id}.png"

    @property
    def drr_file_name(self) -> str:
        """The DRR, relative to the data set."""
        return f"drr/{self.image_id}.png"

    def mask_file_name(self, nodule_id: str) -> str:
        """Return the mask of one nodule, relative to the data set."""
        return f"masks/{self.image_id}_{nodule_id}.png"


def without_folders(text: str) -> str:
    """Return ``text`` with absolute paths cut to file names, so that nothing of this machine goes into the data set."""
    return _FOLDERS.sub("", text)


def read_case(
    results: Path, case: str, cohort: str, views: Sequence[str]
) -> tuple[CaseOutcome, tuple[ImageEntry, ...]]:
    """Return what became of a case and its images; a case that lacks a file is refused as a whole."""
    folder = results / "cases" / case
    outcome = _read_outcome(folder, case, cohort)
    if outcome.status == "refused":
        return outcome, ()
    try:
        variants = read_json(folder / "variants.json")["variants"]
        entries = tuple(_read_entry(folder, case, cohort, variant, view) for view in views for variant in variants)
    except DrrxError as error:
        detail = without_folders(f"{error.where}: found {error.found}; needed {error.needed}.")
        return CaseOutcome(case, cohort, "refused", "MISSING_FILES", detail, error.hint), ()
    return outcome, entries


def _read_outcome(folder: Path, case: str, cohort: str) -> CaseOutcome:
    """Ask the case's record, then the outcome of the last stage: a later stage may have refused the case too."""
    record_file, stage_file = folder / "case.json", folder / "stages" / f"{LAST_STAGE}.json"
    corrections: tuple[str, ...] = ()
    if record_file.is_file():
        record = CaseRecord.from_json(read_json(record_file))
        corrections = tuple(without_folders(f"{item.code}: {item.text}") for item in record.corrections)
        if record.is_refused:
            return CaseOutcome(
                case, cohort, "refused", record.code, without_folders(record.detail), without_folders(record.hint)
            )
    if stage_file.is_file():
        stage = read_json(stage_file)
        if stage.get("status") != "done":
            code, detail, hint = (without_folders(str(stage.get(key, ""))) for key in ("code", "detail", "hint"))
            return CaseOutcome(case, cohort, "refused", code, detail, hint)
    return CaseOutcome(case, cohort, "corrected" if corrections else "accepted", corrections=corrections)


def _read_entry(folder: Path, case: str, cohort: str, variant: str, view: str) -> ImageEntry:
    cxr, drr, record = (folder / variant / view / name for name in ("cxr.png", "drr.png", "annotation.json"))
    width, height = _read_size(cxr)
    if _read_size(drr) != (width, height):
        raise DrrxError(
            where=f"{variant}/{view}", found="DRR and CXR of different sizes", needed="images of one size",
            hint="Run again: the stages that made them do so anew.",
        )  # fmt: skip
    image_id = f"{case}_{variant}_{view}"
    if variant == TWIN:
        annotation = ImageAnnotation(image_id, case, variant, view, TWIN, f"{case}_{view}", width, height)
    else:
        annotation = ImageAnnotation.from_json(read_json(record))
    if (annotation.image_id, annotation.width, annotation.height) != (image_id, width, height):
        raise DrrxError(
            where=f"{variant}/{view}/annotation.json",
            found=f"{annotation.image_id}, {annotation.width} x {annotation.height}",
            needed=f"{image_id}, {width} x {height}", hint="Run again: annotate_cxr makes it anew.",
        )  # fmt: skip
    try:
        facts = ViewFacts.from_json(read_json(folder / view / "projection.json"))
    except KeyError as error:
        raise DrrxError(
            where=f"{view}/projection.json", found=f"no {error}", needed="the record of a view",
            hint="Run again: project_ct makes it anew.",
        ) from error  # fmt: skip
    return ImageEntry(image_id, case, cohort, variant, view, facts, width, height, cxr, drr, annotation)


def _read_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise DrrxError(
            where="/".join(path.parts[-3:]), found="no readable image", needed="a PNG",
            hint="Run again; if it stays away, look at the log of the stage that makes it.",
        ) from error  # fmt: skip
