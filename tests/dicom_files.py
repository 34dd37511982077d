"""DICOM CT series written by pydicom for tests."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

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
