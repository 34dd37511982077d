"""One radiograph as a Digital X-Ray Image for presentation (PS3.3 A.26)."""

import hashlib
import re

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import DigitalXRayImageStorageForPresentation
from pydicom.valuerep import DSfloat

import drrx
from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.dicom_study import Study, make_meta, make_uid

_VIEWS = {
    "PA": codes.CID4010.PosteroAnterior, "AP": codes.CID4010.AnteroPosterior, "LL": codes.CID4010.LeftLateral
}  # fmt: skip
_ROLES = {
    "twin": "no nodule inserted", "positive": "nodules inserted", "sham": "processed like a positive, no nodule",
    "removed": "the CT's own nodules taken out",
}  # fmt: skip


def make_dx(entry: ImageEntry, pixels: NDArray[np.uint16], study: Study) -> Dataset:
    """Return the restored image of ``entry`` as DICOM; ``pixels`` uint16 ``[row, column]`` go in as they are."""
    dataset = Dataset()
    study.fill(dataset, entry, "cxr")
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    _tell_how_made(dataset, entry)
    _tell_geometry(dataset, entry)
    _tell_pixels(dataset, pixels)
    content = dataset.to_json() + hashlib.sha256(pixels.tobytes()).hexdigest()
    dataset.SOPInstanceUID = make_uid("image", entry.image_id, content)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = make_meta(dataset)
    return dataset


def _tell_how_made(dataset: Dataset, entry: ImageEntry) -> None:
    """Say that, how and by what the image was made, without a word about the source CT but the case's name."""
    radiograph, restoration = (entry.annotation.facts.get(name, {}) for name in ("radiograph", "restoration"))
    kvp = re.fullmatch(r"(\d+)kvp", str(radiograph.get("physics", {}).get("beam")))
    weights = f", weights SHA-256 {restoration['weights_sha256']}" if "weights_sha256" in restoration else ""
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SeriesDescription = f"SYNTHETIC CXR {entry.view} {entry.role}"
    dataset.ImageComments = (
        f"Synthetic, not for diagnosis. {entry.image_id}: {_ROLES[entry.role]}, "
        f"{len(entry.annotation.nodules)} annotated nodules. Pair {entry.pair_id}."
    )
    dataset.DerivationDescription = (
        f"Cone-beam projection of a chest CT ({_ROLES[entry.role]}), restored by a diffusion model; "
        f"drrx {drrx.__version__}{weights}."
    )
    dataset.AcquisitionDeviceProcessingDescription = f"drrx restore_cxr {restoration.get('mode', '')}".strip()
    dataset.KVP = kvp[1] if kvp else None
    dataset.DetectorType = "SCINTILLATOR"
    dataset.DetectorDescription = "Simulated CsI flat panel"
    dataset.QualityControlImage = "NO"
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"


def _tell_geometry(dataset: Dataset, entry: ImageEntry) -> None:
    """Say how patient, source and detector stand; spacing is the detector's, so PixelSpacing stays away."""
    facts = entry.facts
    dataset.BodyPartExamined = "CHEST"
    dataset.AnatomicRegionSequence = [_make_code(codes.CID4031.Chest)]
    dataset.ViewPosition = facts.view_position
    dataset.ViewCodeSequence = [_make_code(_VIEWS[facts.view_position])]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.PatientOrientation = list(facts.patient_orientation)
    dataset.ImageLaterality = "U"
    dataset.AcquisitionContextSequence = []
    dataset.PositionerType = "NONE"
    dataset.ImagerPixelSpacing = [_make_decimal(value) for value in facts.pixel_spacing_mm]
    dataset.DistanceSourceToDetector = _make_decimal(round(facts.source_to_detector_mm, 6))
    dataset.DistanceSourceToPatient = _make_decimal(round(facts.source_to_center_mm, 6))
    dataset.EstimatedRadiographicMagnificationFactor = _make_decimal(
        facts.source_to_detector_mm / facts.source_to_center_mm
    )


def _tell_pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    """Say that stored values are shown as they are: bone white, the window is the whole range."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1  # white is where less radiation came through
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = "32768", "65536", "LINEAR"
    dataset.PresentationLUTShape = "IDENTITY"


def _make_decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)


def _make_code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
