"""DICOM CT series written by pydicom for tests."""

import zlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"


def make_slices(values, affine, *, series="1.2.3", slope=1, intercept=-1024, **tags):
    """Return one data set per slice of HU ``values`` ``[slice, row, column]`` placed by ``affine`` (LPS)."""
    step_row, step_column = affine[:3, 1], affine[:3, 2]
    row_mm, column_mm = np.linalg.norm(step_row), np.linalg.norm(step_column)
    slices = []
    for index, plane in enumerate(values):
        data = Dataset()
        data.SOPClassUID, data.Modality, data.ImageType = CT, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SOPInstanceUID, data.SeriesInstanceUID = f"{series}.{index + 1}", series
        data.FrameOfReferenceUID, data.StudyInstanceUID = "1.9", "1.8"
        data.ImagePositionPatient = [float(v) for v in (affine @ [index, 0, 0, 1])[:3]]
        data.ImageOrientationPatient = [float(v) for v in (*step_column / column_mm, *step_row / row_mm)]
        data.PixelSpacing = [float(row_mm), float(column_mm)]
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.InstanceNumber, data.AcquisitionNumber, data.ConvolutionKernel = index + 1, 1, "STANDARD"
        data.PixelData = ((plane.astype(np.int32) - intercept) / slope).astype("<i2").tobytes()
        for tag, value in tags.items():
            setattr(data, tag, value)
        slices.append(data)
    return slices


def write_slices(folder, slices, names=None):
    """Write the data sets, by default as 000.dcm, 001.dcm, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(slices):
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(folder / (names[index] if names else f"{index:03d}.dcm"), enforce_file_format=True)
    return folder


def set_tags(data, **tags):
    """Set tags of a data set; None takes one away."""
    for tag, value in tags.items():
        if value is None:
            delattr(data, tag)
        else:
            setattr(data, tag, value)


def write_enhanced(path, slices, **tags):
    """Write the slices as frames of one enhanced CT with functional groups (PS3.3 C.7.6.16) and return its path."""
    data = Dataset()
    for tag in ("Modality", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns",
                "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
                "PixelRepresentation"):  # fmt: skip
        setattr(data, tag, slices[0][tag].value)
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", slices[0].SOPInstanceUID
    data.ImageType, data.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(slices)
    data.PixelData = b"".join(part.PixelData for part in slices)

    def group(**values):
        item = Dataset()
        for tag, value in values.items():
            setattr(item, tag, value)
        return [item]

    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=slices[0].PixelSpacing)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=slices[0].ImageOrientationPatient)
    shared.CTReconstructionSequence = group(ConvolutionKernel=slices[0].ConvolutionKernel)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], []
    for part in slices:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=part.ImagePositionPatient)
        frame.PixelValueTransformationSequence = group(
            RescaleSlope=part.RescaleSlope, RescaleIntercept=part.RescaleIntercept, RescaleType="HU"
        )
        frame.FrameContentSequence = group(FrameAcquisitionNumber=part.AcquisitionNumber)
        data.PerFrameFunctionalGroupsSequence.append(frame)
    for tag, value in tags.items():
        setattr(data, tag, value)
    write_slices(path.parent, [data], [path.name])
    return path


def make_deflated_bomb(folder, data, num_bytes):
    """Write a small deflated DICOM file that inflates to zeros without end, and return its path."""
    path = write_slices(folder, [data], ["bomb.dcm"]) / "bomb.dcm"
    whole = pydicom.dcmread(path)
    whole.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole.save_as(path)
    raw = path.read_bytes()
    start = 132 + 12 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = engine.compress(zlib.decompressobj(-15).decompress(raw[start:]))
    body += b"".join(engine.compress(bytes(1 << 20)) for _ in range(num_bytes >> 20))
    path.write_bytes(raw[:start] + body + engine.flush())
    return path
