"""Enhanced multi-frame CTs (row 37)."""

from pathlib import Path

import numpy as np
from numpy.random import Generator
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.battery.body import make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import stack, write_series

GROUP = Group("DICOM object")


def make_enhanced(slices: list[Dataset], order: list[int]) -> Dataset:
    """Return the slices as one enhanced CT; geometry shared where it is the same, frames in the given order."""
    enhanced = Dataset()
    for tag in ("Modality", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns",
                "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
                "PixelRepresentation", "PatientPosition", "Manufacturer", "PatientName", "PatientID"):  # fmt: skip
        setattr(enhanced, tag, getattr(slices[0], tag))
    enhanced.SOPClassUID, enhanced.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.3.4444"
    enhanced.InstanceNumber = 3  # of the object in its series; says nothing of its frames
    enhanced.ImageType, enhanced.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(slices)
    first = slices[0]
    shared = Dataset()
    shared.PlaneOrientationSequence = _wrap(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = _wrap(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    shared.CTImageFrameTypeSequence = _wrap(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    enhanced.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number, index in enumerate(order):
        frame, data = Dataset(), slices[index]
        frame.PlanePositionSequence = _wrap(ImagePositionPatient=data.ImagePositionPatient)
        frame.PixelValueTransformationSequence = _wrap(
            RescaleSlope=data.RescaleSlope, RescaleIntercept=data.RescaleIntercept, RescaleType="HU"
        )
        frame.FrameContentSequence = _wrap(
            StackID="1", InStackPositionNumber=index + 1, FrameAcquisitionNumber=1, DimensionIndexValues=[number + 1]
        )
        frames.append(frame)
    enhanced.PerFrameFunctionalGroupsSequence = Sequence(frames)
    enhanced.PixelData = b"".join(slices[index].PixelData for index in order)
    return enhanced


def _wrap(**tags: object) -> Sequence:
    item = Dataset()
    for tag, value in tags.items():
        setattr(item, tag, value)
    return Sequence([item])


@GROUP.kind("enhanced", 37, "an enhanced multi-frame CT, its frames in any order, as a file or in a folder")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    order = rng.permutation(len(slices)) if rng.random() < 0.5 else np.arange(len(slices))[:: rng.choice([-1, 1])]
    enhanced = make_enhanced(slices, [int(index) for index in order])
    if rng.random() < 0.4:
        enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"  # legacy converted
    path = write_series(folder, [enhanced])
    return Built(path / "000.dcm" if rng.random() < 0.5 else path, body.volume, body.markers_mm)


@GROUP.kind("enhanced-unplaced", 37, "an enhanced CT whose frames do not say where they are",
            codes=("ENHANCED_UNSUPPORTED", "NO_POSITION"))  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    slices = stack(make_body(rng).volume)
    enhanced = make_enhanced(slices, list(range(len(slices))))
    frames = enhanced.PerFrameFunctionalGroupsSequence
    if rng.random() < 0.5:
        del enhanced.PerFrameFunctionalGroupsSequence
    for frame in frames:
        del frame.PlanePositionSequence
    return Built(write_series(folder, [enhanced]))


@GROUP.kind("enhanced-frames-left-out", 37, "an enhanced CT of more frames than it describes, or fewer",
            codes=("ENHANCED_UNSUPPORTED", "CORRUPT_FILE"))  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    slices = stack(make_body(rng).volume)
    enhanced = make_enhanced(slices, list(range(len(slices))))
    count = int(rng.integers(1, 4))
    if rng.random() < 0.5:
        del enhanced.PerFrameFunctionalGroupsSequence[-count:]
    else:
        enhanced.NumberOfFrames -= count
        enhanced.PixelData = enhanced.PixelData[: -count * len(slices[0].PixelData)]
    return Built(write_series(folder, [enhanced]))
