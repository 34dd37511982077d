"""What one DICOM file says about itself, read without its pixels."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from drrx.io.stream import make_corrupt

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType", "Rows",
    "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber", "ConvolutionKernel", "PatientPosition",
    "Manufacturer", "ManufacturerModelName", "KVP", "SliceThickness", "ContrastBolusAgent", "LossyImageCompression",
    "SamplesPerPixel",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """Facts of one DICOM object; None where a tag is missing or cannot be read.

    Attributes
    ----------
    file, name
        Where it lies, and its name for messages (relative to the folder).
    position_mm, orientation, pixel_spacing_mm
        ImagePositionPatient (LPS), ImageOrientationPatient (along a row, then down a column), PixelSpacing
        (between rows, between columns).
    phase
        AcquisitionNumber and TemporalPositionIdentifier: tells phases of one series apart.
    """

    file: Path
    name: str
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
    kernel: str
    scanner: dict[str, str | float]

    @property
    def is_ct_slice(self) -> bool:
        """Whether this is a single-frame CT image that is no scout."""
        return self.sop_class == CT_IMAGE and self.modality == "CT" and "LOCALIZER" not in self.image_type


def list_files(folder: Path) -> list[Path]:
    """Return all files below ``folder`` in a fixed order, without hidden ones, archive junk and linked folders."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found += [Path(root, name) for name in sorted(names) if not name.startswith(".") and name != "DICOMDIR"]
    return found


def read_header(file: Path, folder: Path) -> SliceHeader | None:
    """Return the header of a DICOM file, or None for other files.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``: a DICOM file (by magic or suffix) that is empty or cut within its header.
    """
    name = str(file.relative_to(folder))
    try:
        with file.open("rb") as stream:
            start = stream.read(132)
        is_dicom = start[128:] == b"DICM"
        if not is_dicom and file.suffix.lower() not in DICOM_SUFFIXES:
            return None
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=not is_dicom, specific_tags=list(TAGS))
        header = _make_header(dataset, file, name)
    except (Exception, RecursionError) as error:  # pydicom raises many kinds on broken files
        raise make_corrupt(Path(name), f"a DICOM header that cannot be read ({type(error).__name__})") from error
    if not header.sop_class or (header.is_ct_slice and (header.rows < 1 or not header.series_uid)):
        raise make_corrupt(Path(name), "a DICOM header that ends too early", "a whole DICOM file")
    return header


def _make_header(dataset: Dataset, file: Path, name: str) -> SliceHeader:
    def text(tag: str) -> str:
        value = dataset.get(tag)
        return "" if value is None else str(value).strip()

    phase = (_numbers(dataset, "AcquisitionNumber", 1), _numbers(dataset, "TemporalPositionIdentifier", 1))
    slope, intercept = _numbers(dataset, "RescaleSlope", 1), _numbers(dataset, "RescaleIntercept", 1)
    image_type = dataset.get("ImageType") or ()
    return SliceHeader(
        file=file, name=name, sop_class=text("SOPClassUID"), sop_uid=text("SOPInstanceUID"),
        series_uid=text("SeriesInstanceUID"), frame_uid=text("FrameOfReferenceUID"), modality=text("Modality"),
        image_type=tuple(map(str, [image_type] if isinstance(image_type, str) else image_type)),
        rows=int(dataset.get("Rows") or 0), columns=int(dataset.get("Columns") or 0),
        position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_spacing_mm=_numbers(dataset, "PixelSpacing", 2),
        slope=slope[0] if slope else None, intercept=intercept[0] if intercept else None,
        phase=(int(phase[0][0]) if phase[0] else 0, int(phase[1][0]) if phase[1] else 0),
        kernel=text("ConvolutionKernel"), scanner=_read_scanner(dataset, text),
    )  # fmt: skip


def _read_scanner(dataset: Dataset, text: Any) -> dict[str, str | float]:
    facts: dict[str, str | float] = {
        "modality": text("Modality"), "manufacturer": text("Manufacturer"), "model": text("ManufacturerModelName"),
        "kernel": text("ConvolutionKernel"), "patient_position": text("PatientPosition"),
        "contrast_agent": "yes" if text("ContrastBolusAgent") else "",
        "lossy": "yes" if text("LossyImageCompression") == "01" else "",
    }  # fmt: skip
    for key, tag in (("kvp", "KVP"), ("slice_thickness_mm", "SliceThickness")):
        if value := _numbers(dataset, tag, 1):
            facts[key] = value[0]
    return {key: value for key, value in facts.items() if value != ""}


def _numbers(dataset: Dataset, tag: str, count: int) -> tuple[float, ...] | None:
    try:
        value = dataset.get(tag)
        values = tuple(float(number) for number in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        return None
    return values if len(values) == count and np.isfinite(values).all() else None
