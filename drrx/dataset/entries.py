"""What the data set is made of: cases and what became of them, and images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from drrx.geometry import View
from drrx.records.annotation import ImageAnnotation
from drrx.records.variant import Role


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
    rejections
        How many places were tried for nodules and rejected, by reason, over all variants.
    """

    case: str
    cohort: str
    status: Literal["accepted", "corrected", "refused"]
    code: str = ""
    detail: str = ""
    hint: str = ""
    corrections: tuple[str, ...] = ()
    rejections: Mapping[str, int] = field(default_factory=dict)

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
class Source:
    """Where the CT of a case comes from: free columns of the cohort table.

    Attributes
    ----------
    patient
        Column ``patient``; without it the case counts as a patient of its own.
    licence, source
        Columns ``licence`` and ``source``; empty when not given.
    """

    patient: str
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class ImageEntry:
    """One image of the data set and where its files come from.

    Attributes
    ----------
    image_id
        ``<case>_<variant>_<view>``.
    case, cohort, variant, view
        Where it belongs; variant ``twin`` has no inserted nodule.
    source
        Patient, licence and origin of the CT.
    split
        ``train``, ``val``, ``test`` or as the settings name them; all images of a patient have the same.
    facts
        How it was taken.
    width, height
        Columns and rows.
    cxr, drr, paths
        Restored image and DRR, 16-bit PNG, and the path maps of its nodules, NPZ.
    annotation
        Its record.
    """

    image_id: str
    case: str
    cohort: str
    variant: str
    view: str
    source: Source
    split: str
    facts: ViewFacts
    width: int
    height: int
    cxr: Path
    drr: Path
    paths: Path
    annotation: ImageAnnotation

    @property
    def pair_id(self) -> str:
        """``<case>_<view>``: what all variants of a view share."""
        return self.annotation.pair_id

    @property
    def role(self) -> Role:
        """What the image is there for: ``twin``, ``positive``, ``sham`` or ``removed``."""
        return self.annotation.role

    @property
    def file_name(self) -> str:
        """The restored image, relative to the data set."""
        return f"images/{self.image_id}.png"

    @property
    def drr_file_name(self) -> str:
        """The DRR, relative to the data set."""
        return f"drr/{self.image_id}.png"
