"""CTs full of names: every place of a file that can hold one holds a word of its own, which must never come out."""

import gzip
import struct
import warnings
import zipfile
import zlib

import nibabel
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from tests.dicom_files import CT, make_slices


class Canaries:
    """Gives out words, each with the place it was planted in."""

    def __init__(self):
        self.places = {}

    def word(self, place):
        """A word for a text; the same one for the same place."""
        if place not in self.places.values():
            self.places[f"CNRY{len(self.places):03d}X"] = place
        return next(word for word, known in self.places.items() if known == place)

    def number(self, place, start):
        """Digits that begin as the value must; for UIDs and dates."""
        word = f"{start}{len(self.places):03d}"
        self.places[word] = place
        return word


TEXTS = (
    "PatientID", "OtherPatientNames", "PatientAddress", "PatientComments", "InstitutionName", "InstitutionAddress",
    "ReferringPhysicianName", "OperatorsName", "StudyDescription", "SeriesDescription", "ProtocolName", "Manufacturer",
    "ManufacturerModelName", "ConvolutionKernel", "StationName", "ImageComments", "ContrastBolusAgent",
    "AccessionNumber", "StudyID", "DeviceSerialNumber", "SoftwareVersions", "BodyPartExamined", "FilterType",
    "ScanOptions", "RequestedProcedureDescription", "MedicalAlerts", "DerivationDescription",
)  # fmt: skip


def plant_dicom(data, canaries):
    """Put a word into every field that holds text, and numbers that tell a patient into UIDs and dates."""
    for name in TEXTS:
        setattr(data, name, canaries.word(f"DICOM {name}"))
    data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data.PatientName = f"{canaries.word('DICOM PatientName')}^Tarou=山田^太郎=やまだ^たろう"
    data.add_new((0x0009, 0x0010), "LO", "MAKER")
    data.add_new((0x0009, 0x1001), "LO", canaries.word("DICOM private text"))
    item = Dataset()
    item.PatientID = canaries.word("DICOM private sequence")
    data.add_new((0x0009, 0x1002), "SQ", Sequence([item]))
    data.RequestAttributesSequence = Sequence([item])
    data.add_new((0x6000, 0x0010), "US", 4)
    data.add_new((0x6000, 0x0022), "LO", canaries.word("DICOM overlay description"))
    data.add_new((0x6000, 0x3000), "OW", canaries.word("DICOM overlay data").encode())
    data.add_new((0x5000, 0x3000), "OW", canaries.word("DICOM curve data").encode())
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", canaries.word("DICOM ImageType")]
    data.DataSetTrailingPadding = canaries.word("DICOM trailing padding").encode()


def make_meta(data, canaries):
    """Return file meta information with canaries in it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CT
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.ImplementationVersionName = canaries.word("DICOM ImplementationVersionName")
    meta.SourceApplicationEntityTitle = canaries.word("DICOM SourceApplicationEntityTitle")
    meta.PrivateInformationCreatorUID = "1.2.3"
    meta.PrivateInformation = canaries.word("DICOM meta PrivateInformation").encode()
    return meta


def write_dicom(folder, values, affine, canaries, change=lambda index, data: None):
    uid = canaries.uid
    slices = make_slices(values, affine, series=uid["Series"])
    for index, data in enumerate(slices):
        plant_dicom(data, canaries)
        data.StudyInstanceUID, data.FrameOfReferenceUID = uid["Study"], uid["FrameOfReference"]
        data.SOPInstanceUID = f"{uid['SOP']}.{index + 1}"
        data.StudyDate = data.PatientBirthDate = canaries.date
        change(index, data)
        data.file_meta = make_meta(data, canaries)
        data.preamble = (b"MZ" + canaries.word("DICOM preamble").encode()).ljust(128, b"\0")
    folder.mkdir()
    for index, data in enumerate(slices):
        path = folder / f"{canaries.word('DICOM file name')}-{index:03d}.dcm"
        with warnings.catch_warnings(action="ignore"):  # what is wrong is wrong on purpose
            data.save_as(path, enforce_file_format=True)
    return folder


def raw_element(tag, vr, text):
    """An element whose text pydicom would refuse to write."""

    def change(index, data):
        element = DataElement(tag, "LO", text)
        element.VR = "LO"
        data.add(element)

    return change


#: Refused DICOM: what is changed, so that the reason lies in a field with a canary in it.
def broken_dicom(canaries):
    def put(name, place, on=None):
        def change(index, data):
            if on is None or index in on:
                setattr(data, name, canaries.word(place))

        return change

    def drop(*names):
        def change(index, data):
            for name in names:
                delattr(data, name)

        return change

    def two_series(index, data):
        if index % 2:
            data.SeriesInstanceUID += ".9"
            data.PixelSpacing = [2.0, 2.0]
            data.ConvolutionKernel = canaries.word("DICOM kernel of another series")

    def twice(index, data):
        if index == 3:
            data.ImagePositionPatient = [
                float(data.ImagePositionPatient[0]),
                *map(float, data.ImagePositionPatient[1:]),
            ]
            data.ImagePositionPatient[2] = float(data.ImagePositionPatient[2]) - 2.0

    def matrix(index, data):
        if index == 2:
            data.Rows, data.Columns, data.PixelData = 8, 8, bytes(128)

    def burned(index, data):
        data.BurnedInAnnotation = "YES"

    def pixels(index, data):
        data.PixelData = canaries.word("DICOM pixel data").encode() * 3 + b"\0"

    def nested(index, data):
        inner = Dataset()
        inner.PatientID = canaries.word("DICOM deep sequence")
        for _ in range(60):
            outer = Dataset()
            outer.RequestAttributesSequence = Sequence([inner])
            inner = outer
        data.RequestAttributesSequence = Sequence([inner])
        del data.RescaleSlope

    return {
        "modality": put("Modality", "DICOM Modality"),
        "photometric": put("PhotometricInterpretation", "DICOM PhotometricInterpretation"),
        "position": put("PatientPosition", "DICOM PatientPosition"),
        "rescale_type": put("RescaleType", "DICOM RescaleType"),
        "charset": put("SpecificCharacterSet", "DICOM SpecificCharacterSet"),
        "slope": raw_element((0x0028, 0x1053), "DS", canaries.word("DICOM RescaleSlope")),
        "spacing": raw_element((0x0028, 0x0030), "DS", canaries.word("DICOM PixelSpacing")),
        "place": raw_element((0x0020, 0x0032), "DS", canaries.word("DICOM ImagePositionPatient")),
        "orientation": raw_element((0x0020, 0x0037), "DS", canaries.word("DICOM ImageOrientationPatient")),
        "instance": raw_element((0x0020, 0x0013), "IS", canaries.word("DICOM InstanceNumber")),
        "acquisition": raw_element((0x0020, 0x0012), "IS", canaries.word("DICOM AcquisitionNumber")),
        "class": raw_element((0x0008, 0x0016), "UI", canaries.word("DICOM SOPClassUID")),
        "series": raw_element((0x0020, 0x000E), "UI", canaries.word("DICOM odd SeriesInstanceUID")),
        "no_rescale": drop("RescaleSlope", "RescaleIntercept"), "no_place": drop("ImagePositionPatient"),
        "no_pixels": drop("PixelData"), "ambiguous": two_series, "twice": twice, "matrix": matrix, "burned": burned,
        "pixels": pixels, "nested": nested,
    }  # fmt: skip


def plant_nifti(path, ct, canaries, codes=None, **change):
    """A NIfTI with words in header, extension, and in the header of its gzip stream."""
    lps = np.diag([-1, -1, 1, 1]) @ ct.world_from_index
    image = nibabel.Nifti1Image(ct.values.transpose(2, 1, 0), lps @ np.eye(4)[[2, 1, 0, 3]])
    image.header["descrip"] = canaries.word("NIfTI descrip")
    image.header["aux_file"] = canaries.word("NIfTI aux_file")
    image.header["intent_name"] = canaries.word("NIfTI intent_name")
    image.header["db_name"] = canaries.word("NIfTI db_name")
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", canaries.word("NIfTI extension").encode()))
    for name, value in change.items():
        image.header[name] = value
    raw = bytearray(image.to_bytes())
    if codes:  # of qform and sform
        struct.pack_into("<hh", raw, 252, *codes)
    name, comment = canaries.word("gzip FNAME").encode(), canaries.word("gzip FCOMMENT").encode()
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = packer.compress(bytes(raw)) + packer.flush()
    head = b"\x1f\x8b\x08\x18" + bytes(6) + name + b"\0" + comment + b"\0"
    path.write_bytes(head + body + struct.pack("<II", zlib.crc32(raw), len(raw) & 0xFFFFFFFF))
    return path


def plant_metaimage(path, ct, canaries, **change):
    data = path.with_name(f"{canaries.word('MHD data file name')}-{path.stem}.raw")
    data.write_bytes(ct.values.astype("<i2").tobytes())
    sizes, steps = ct.shape[::-1], ct.spacing_mm[::-1]
    fields = {
        "ObjectType": "Image", "NDims": "3", "Comment": canaries.word("MHD Comment"),
        canaries.word("MHD unknown key"): "1", "Modality": canaries.word("MHD Modality"),
        "BinaryData": "True", "BinaryDataByteOrderMSB": "False", "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": " ".join(str(v) for v in ct.world_from_index[:3, 3]),
        "ElementSpacing": " ".join(map(str, steps)), "DimSize": " ".join(map(str, sizes)), "ElementType": "MET_SHORT",
    } | change | {"ElementDataFile": change.get("ElementDataFile", data.name)}  # fmt: skip
    path.write_text("".join(f"{key} = {value}\n" for key, value in fields.items()))
    return path


def plant_nrrd(path, ct, canaries, **change):
    fields = {
        "type": "int16", "dimension": "3", "space": "left-posterior-superior", "encoding": "gzip", "endian": "little",
        "sizes": " ".join(map(str, ct.shape[::-1])), "content": canaries.word("NRRD content"),
        "space directions": " ".join(
            "({},{},{})".format(*row) for row in np.diag(ct.spacing_mm[::-1]).tolist()
        ),
        "space origin": "({},{},{})".format(*ct.world_from_index[:3, 3].tolist()),
    } | change  # fmt: skip
    lines = ["NRRD0005", f"# {canaries.word('NRRD comment')}", *(f"{key}: {value}" for key, value in fields.items())]
    lines.append(f"{canaries.word('NRRD key')}:={canaries.word('NRRD value')}")
    path.write_bytes("\n".join([*lines, "", ""]).encode() + gzip.compress(ct.values.astype("<i2").tobytes(), 1))
    return path


def plant_archive(path, folder, canaries, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = canaries.word("zip comment").encode()
        for file in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(f"{prefix}{canaries.word('zip member name')}/{file.name}")
            info.comment = canaries.word("zip member comment").encode()
            archive.writestr(info, file.read_bytes())
    return path
