"""What is read of a DICOM header: the listed tags and nothing else, one set of facts for each slice.

An enhanced (multi-frame) CT keeps them in functional groups: shared ones, and one group per frame (PS3.3 C.7.6.16).
This runs in the process of ``drrx.io.dicom_worker``.
"""

import math
from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType", "Rows",
    "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber", "ConvolutionKernel", "PatientPosition",
    "Manufacturer", "ManufacturerModelName", "KVP", "SliceThickness", "ContrastBolusAgent", "LossyImageCompression",
    "SamplesPerPixel", "BurnedInAnnotation", "NumberOfFrames", "ContrastBolusAgentSequence", _SHARED, _PER_FRAME,
]  # fmt: skip
# Tag in a frame: the functional group that holds it.
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence", "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence", "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence", "RescaleIntercept": "PixelValueTransformationSequence",
    "ConvolutionKernel": "CTReconstructionSequence", "KVP": "CTXRayDetailsSequence",
    "AcquisitionNumber": "FrameContentSequence", "TemporalPositionIdentifier": "FrameContentSequence",
    "ImageType": "CTImageFrameTypeSequence",
}  # fmt: skip
# The same fact under the name that it has in a frame.
_NAMES_IN_FRAME = {
    "AcquisitionNumber": "FrameAcquisitionNumber", "TemporalPositionIdentifier": "TemporalPositionIndex",
    "ImageType": "FrameType",
}  # fmt: skip

Get = Callable[[str], Any]


def read_facts(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the facts of each slice of one DICOM object, JSON-ready (NaN: a tag that is there but holds no number)."""
    frames = dataset.get(_PER_FRAME) or []
    if not frames:
        return [_read_slice(dataset, dataset.get, 0)]
    shared = (dataset.get(_SHARED) or [Dataset()])[0]
    return [
        _read_slice(dataset, _look_in(dataset, frame, shared), number) | {"is_frame": True, "instance": number + 1}
        for number, frame in enumerate(frames)
    ]


def _look_in(dataset: Dataset, frame: Dataset, shared: Dataset) -> Get:
    def get(tag: str) -> Any:
        name = _NAMES_IN_FRAME.get(tag, tag)
        for group in (frame, shared):
            items = group.get(_GROUPS[tag]) if tag in _GROUPS else None
            if items and name in items[0]:
                return items[0][name].value
        return dataset.get(tag)

    return get


def _read_slice(dataset: Dataset, get: Get, frame: int) -> dict[str, Any]:
    image_type = get("ImageType") or ()
    return {
        "frame": frame, "is_frame": False,
        "sop_class": _text(dataset.get("SOPClassUID")), "sop_uid": _text(dataset.get("SOPInstanceUID")),
        "series_uid": _text(dataset.get("SeriesInstanceUID")), "frame_uid": _text(dataset.get("FrameOfReferenceUID")),
        "modality": _text(dataset.get("Modality")),
        "image_type": [image_type] if isinstance(image_type, str) else list(map(str, image_type)),
        "rows": int(dataset.get("Rows") or 0), "columns": int(dataset.get("Columns") or 0),
        "num_frames": int(dataset.get("NumberOfFrames") or 1),
        "position_mm": _numbers(get("ImagePositionPatient"), 3),
        "orientation": _numbers(get("ImageOrientationPatient"), 6),
        "pixel_spacing_mm": _numbers(get("PixelSpacing"), 2),
        "slope": _number(get("RescaleSlope")), "intercept": _number(get("RescaleIntercept")),
        "acquisition": _number(get("AcquisitionNumber")), "temporal": _number(get("TemporalPositionIdentifier")),
        "instance": _number(dataset.get("InstanceNumber")),
        "kernel": _text(get("ConvolutionKernel")), "kvp": _number(get("KVP")),
        "thickness_mm": _number(get("SliceThickness")), "manufacturer": _text(dataset.get("Manufacturer")),
        "model": _text(dataset.get("ManufacturerModelName")), "patient_position": _text(dataset.get("PatientPosition")),
        "has_contrast": bool(dataset.get("ContrastBolusAgent") or dataset.get("ContrastBolusAgentSequence")),
        "is_lossy": _text(dataset.get("LossyImageCompression")) == "01",
        "is_burned_in": _text(dataset.get("BurnedInAnnotation")).upper() == "YES",
    }  # fmt: skip


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()[:256]


def _number(value: Any) -> float | None:
    """Return a number, None where there is none, NaN where there is something else."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _numbers(value: Any, count: int) -> list[float] | None:
    """Return ``count`` numbers, or None where they are not all there."""
    try:
        numbers = [float(item) for item in value]
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count else None
