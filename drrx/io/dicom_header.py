"""What one slice of a DICOM file says about itself, read without its pixels; words only from a fixed vocabulary."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from drrx.errors import CaseRefused
from drrx.io.case_files import CaseFile
from drrx.io.dicom_child import DicomChild, NoAnswer
from drrx.io.plain import make_corrupt
from drrx.io.scanner import (
    is_soft_kernel,
    name_kernel,
    name_manufacturer,
    name_modality,
    name_model,
    name_patient_position,
)
from drrx.io.uid import hash_uid, is_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # the second: converted from single frames
# Words of ImageType, letters only: scouts, and slabs whose values are no HU of one place.
NO_SLICES = frozenset(("LOCALIZER", "MIP", "MINIP", "MAXIP", "MAXIMUM", "MINIMUM", "VOLUMERENDERED", "VRT"))
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """Facts of one slice; None where a tag is missing or holds no number.

    Attributes
    ----------
    file, label
        Where it lies, and what messages call it: a number in the order of names.
    frame
        Index of the frame in its file, 0 in a file of one slice.
    is_frame
        Whether it is a frame of an enhanced CT with functional groups.
    position_mm, orientation, pixel_spacing_mm
        ImagePositionPatient (LPS), ImageOrientationPatient (along a row, then down a column), PixelSpacing
        (between rows, between columns).
    slope, intercept
        Of the rescale to HU; NaN where the tag is there but holds no number.
    phase
        AcquisitionNumber and TemporalPositionIdentifier: tells phases of one series apart.
    is_soft
        Whether the kernel is made for soft tissue; None where its name does not tell.
    scanner
        What may be told of scanner and scan.
    """

    file: Path
    label: str
    frame: int
    is_frame: bool
    sop_class: str
    sop_uid: str
    series_uid: str
    frame_uid: str
    modality: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    phase: tuple[int, int]
    instance: int | None
    kernel: str
    is_soft: bool | None
    has_preamble: bool
    is_burned_in: bool
    scanner: dict[str, str | float]

    @property
    def is_ct_slice(self) -> bool:
        """Whether this is a CT image, single or a frame of an enhanced one, that is no scout and no picture of a CT."""
        fits = self.sop_class == CT_IMAGE or (self.sop_class in ENHANCED_CT and self.is_frame)
        words = {re.sub("[^A-Z]", "", word.upper()) for word in self.image_type}
        return fits and self.modality == "CT" and not words & NO_SLICES


def looks_like_dicom(file: Path) -> bool:
    """Return whether a file is worth opening: by its magic, its suffix, or the first tag of a file without preamble."""
    with file.open("rb") as stream:
        start = stream.read(132)
    # Group 2 or 8 and a low element, little-endian: the first tag of an old file. Text and pictures do not begin so.
    old = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00" and len(start) == 132
    return start[128:] == b"DICM" or old or file.suffix.lower() in DICOM_SUFFIXES


def read_headers(files: Sequence[CaseFile], child: DicomChild, where: str) -> list[SliceHeader]:
    """Return the headers of all slices in the DICOM files among ``files``.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``: a DICOM file (by magic or suffix) that is empty, damaged or cut within its header;
        ``TOO_LARGE``: one that needs more memory or time than allowed.
    """
    return [header for file in files if looks_like_dicom(file.path) for header in _read_file(file, child, where)]


def _read_file(file: CaseFile, child: DicomChild, where: str) -> list[SliceHeader]:
    where = f"{where}, {file.label}"
    try:
        facts = child.read_header(file.path)
        headers = [_make_header(part, file) for part in facts]
    except NoAnswer as failure:
        refuse_file(failure, where, "a DICOM header that cannot be read")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise make_corrupt(where, "a DICOM header without sense") from error
    told = headers[0].is_frame or headers[0].sop_class == CT_IMAGE
    if told and facts[0]["num_frames"] != len(headers):
        raise CaseRefused(
            "ENHANCED_UNSUPPORTED", where=where,
            found=f"an enhanced CT of {facts[0]['num_frames']} frames that describes {len(headers)}",
            needed="a functional group for each frame", hint="Convert the series again, or give its single slices.",
        )  # fmt: skip
    for header in headers:
        whole = header.sop_class and header.modality
        pictured = header.rows > 0 and header.columns > 0 and header.series_uid and facts[0]["has_pixels"]
        if not whole or (header.is_ct_slice and not pictured):
            raise make_corrupt(where, "a DICOM header that ends too early", "a whole DICOM file")
    return headers


def refuse_file(failure: NoAnswer, where: str, found: str) -> NoReturn:
    """Refuse the file that gave no answer."""
    if failure.kind in ("memory", "time"):
        limit = "decode_memory_mb" if failure.kind == "memory" else "decode_seconds"
        raise CaseRefused(
            "TOO_LARGE", where=where, found=f"a DICOM file that needs more {failure.kind} than allowed",
            needed="one that can be opened within the limits", hint=f"Raise read_ct.{limit} if the file is sound.",
        ) from failure  # fmt: skip
    how = failure.error if failure.kind == "refused" else "the decoder broke down"
    raise make_corrupt(where, f"{found} ({how})", "a whole DICOM file") from failure


def _make_header(facts: Mapping[str, Any], file: CaseFile) -> SliceHeader:
    phase = (_whole(facts["acquisition"]) or 0, _whole(facts["temporal"]) or 0)
    return SliceHeader(
        file=file.path, label=file.label + (f", frame {facts['frame'] + 1}" if facts["is_frame"] else ""),
        frame=int(facts["frame"]), is_frame=bool(facts["is_frame"]), sop_class=_uid(facts["sop_class"]),
        sop_uid=_uid(facts["sop_uid"]), series_uid=_uid(facts["series_uid"]), frame_uid=_uid(facts["frame_uid"]),
        modality=name_modality(facts["modality"]), image_type=tuple(map(str, facts["image_type"])),
        rows=int(facts["rows"]), columns=int(facts["columns"]), position_mm=_finite(facts["position_mm"]),
        orientation=_finite(facts["orientation"]), pixel_spacing_mm=_finite(facts["pixel_spacing_mm"]),
        slope=facts["slope"], intercept=facts["intercept"], phase=phase, instance=_whole(facts["instance"]),
        kernel=name_kernel(facts["kernel"]), is_soft=is_soft_kernel(facts["kernel"]),
        has_preamble=bool(facts["has_preamble"]), is_burned_in=bool(facts["is_burned_in"]),
        scanner=_tell_scanner(facts),
    )  # fmt: skip


def _tell_scanner(facts: Mapping[str, Any]) -> dict[str, str | float]:
    told: dict[str, str | float] = {
        "modality": name_modality(facts["modality"]), "manufacturer": name_manufacturer(facts["manufacturer"]),
        "model": name_model(facts["model"]), "kernel": name_kernel(facts["kernel"]),
        "patient_position": name_patient_position(facts["patient_position"]),
        "contrast_agent": "yes" if facts["has_contrast"] else "", "lossy": "yes" if facts["is_lossy"] else "",
    }  # fmt: skip
    numbers = {"kvp": facts["kvp"], "slice_thickness_mm": facts["thickness_mm"]}
    told |= {key: float(number) for key, number in numbers.items() if number is not None and np.isfinite(number)}
    return {key: value for key, value in told.items() if value != ""}


def _uid(text: str) -> str:
    """Return a UID; for another text, whatever it may hold, a word that is the same for the same text."""
    return text if is_uid(text) or not text else f"odd-{hash_uid(text)[:16]}"


def _whole(number: float | None) -> int | None:
    return int(number) if number is not None and np.isfinite(number) else None


def _finite(numbers: Sequence[float] | None) -> tuple[float, ...] | None:
    return tuple(numbers) if numbers is not None and np.isfinite(numbers).all() else None
