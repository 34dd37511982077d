"""The nodules of one radiograph as a DICOM segmentation (PS3.3 A.51) that refers to it, built by highdicom."""

import importlib
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

import drrx
from drrx.annotate.mask import decode_mask
from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.dicom_study import MAKER, NO_DATE, NO_TIME, Study, make_meta, make_uid
from drrx.errors import DrrxError
from drrx.records.annotation import Annotation


def load_highdicom() -> Any:
    """Return the module highdicom, which is installed on request only.

    Raises
    ------
    DrrxError
        It is not installed.
    """
    try:
        return importlib.import_module("highdicom")
    except ImportError as error:
        raise DrrxError(
            where="collect_dataset.dicom", found="'dx+seg', and highdicom is not installed",
            needed="highdicom for segmentations",
            hint="Install it: pip install 'drrx[seg]'; or set collect_dataset.dicom to dx.",
        ) from error  # fmt: skip


def make_seg(entry: ImageEntry, image: Dataset, study: Study) -> Dataset:
    """Return the visual masks of the nodules of ``entry``, one binary segment each, on the grid of ``image``."""
    highdicom = load_highdicom()
    nodules = entry.annotation.nodules
    masks = np.stack([decode_mask(nodule.mask) > 0 for nodule in nodules], axis=-1)
    content = "".join(nodule.mask.counts for nodule in nodules)
    dataset = highdicom.seg.Segmentation(
        source_images=[image],
        pixel_array=masks[np.newaxis],
        segmentation_type="BINARY",
        segment_descriptions=[
            _describe(highdicom, number, nodule, entry, study) for number, nodule in enumerate(nodules, 1)
        ],
        series_instance_uid=make_uid("to be", "filled"),
        series_number=1,
        sop_instance_uid=make_uid("segments", image.SOPInstanceUID, content),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name="drrx",
        software_versions=drrx.__version__,
        device_serial_number="0",
        content_label="NODULES",
        content_description="Visual masks of lung nodules, exact by projection",
        series_description=f"SYNTHETIC SEG {entry.view} {entry.role}",
        omit_empty_frames=False,
    )
    study.fill(dataset, entry, "seg")
    for segment in dataset.SegmentSequence:
        del segment.SegmentationAlgorithmIdentificationSequence  # no family of DICOM's is a projection
    _make_repeatable(dataset)
    dataset.PatientOrientation = image.PatientOrientation
    dataset.file_meta = make_meta(dataset)
    return dataset


def _describe(highdicom: Any, number: int, nodule: Annotation, entry: ImageEntry, study: Study) -> Any:
    """Describe one segment; the same nodule in another view, and a real one in another variant, is tracked by a UID."""
    record = nodule.nodule
    variant = "" if record.origin == "real" else entry.variant
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"{record.nodule_id} {record.kind} {record.diameter_mm:.1f} mm",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"drrx {drrx.__version__}", family=codes.CID7162.NeighborhoodAnalysis, version=drrx.__version__
        ),
        tracking_uid=make_uid("nodule", study.key, variant, record.nodule_id),
        tracking_id=f"{entry.case} {variant} {record.nodule_id}".replace("  ", " "),
        anatomic_regions=[codes.SCT.Lung],
    )


def _make_repeatable(dataset: Dataset) -> None:
    """Put constants where highdicom wrote the time and random UIDs: the same masks give the same bytes."""
    del dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.ContentDate, dataset.ContentTime = NO_DATE, NO_TIME
    for item in dataset.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    dimensions = make_uid("dimensions", dataset.SOPInstanceUID)
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
