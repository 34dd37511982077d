"""CTs full of names: every place of a file that can hold one holds a word of its own, which must never come out."""

import gzip
import itertools
import os
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from drrx.io.nifti import write_volume
from tests.dicom_files import CT, make_slices
from tests.thorax import make_thorax

SETTINGS = {"min_num_slices": 5, "min_length_mm": 0, "max_gap_mm": 9}


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


HEADER = ("case", "path", "cohort", "series_uid", "mask", "annotations", "patient", "licence")


class Cohort:
    """Builds files below ``folder`` and the table that names them; cases that must come through are ``good``."""

    def __init__(self, folder: Path):
        self.canaries = Canaries()
        number = self.canaries.number
        self.canaries.uid = {
            name: number(f"DICOM {name}InstanceUID", "1.2.826.0.1.3680043.8.498.77")
            for name in ("Study", "Series", "SOP", "FrameOfReference")
        }
        self.canaries.date = "19110213"
        self.canaries.places["19110213"] = "DICOM dates"
        self.canaries.places["山田"] = "DICOM PatientName in kanji"
        self.folder = folder / self.canaries.word("folder name")
        self.folder.mkdir()
        self.rows, self.good, self.counter = [], [], itertools.count()
        thorax = make_thorax((4.0, 2.5, 2.5))
        self.ct, self.nodule, self.lungs = thorax.ct, thorax.nodule, thorax.right | thorax.left
        self.small = np.clip(self.ct.values[30:38, 30:46, 40:56], -1000, 400)
        self.affine = self.ct.world_from_index

    def name(self, suffix):
        """A file name with a canary in it."""
        return f"{self.canaries.word('CT file name')}-{next(self.counter)}{suffix}"

    def add(self, case, path, good=False, **cells):
        written = os.path.relpath(path, self.folder.parent) if isinstance(path, Path) else path
        self.rows.append({"case": case, "path": written, "cohort": "demo", **cells})
        if good:
            self.good.append(case)

    def build(self):
        self.add_good()
        self.add_dicom()
        self.add_files()
        self.add_side_files()
        return self

    def write(self):
        lines = ["\t".join(HEADER), *("\t".join(row.get(name, "") for name in HEADER) for row in self.rows)]
        self.table = self.folder.parent / "cohort.tsv"
        self.table.write_text("\n".join(lines) + "\n")

    def add_good(self):
        canaries, ct = self.canaries, self.ct
        mask = self.folder / f"{canaries.word('lung mask name')}.nii.gz"
        write_volume(mask, ct.with_values(self.lungs.astype(np.uint8)))
        marks = self.folder / f"{canaries.word('annotation name')}.csv"
        x, y, z = (float(v) for v in ct.to_world(np.argwhere(self.nodule).mean(axis=0)[None])[0])
        extra = f"{canaries.word('annotation column')}\n"
        row = f"{canaries.uid['Series']},{x},{y},{z},18,{canaries.word('annotation cell')}\n"
        marks.write_text(f"seriesuid,coordX,coordY,coordZ,diameter_mm,{extra}{row}")
        names = {"mask": os.path.relpath(mask, self.folder.parent), "patient": "one", "licence": "CC0"}
        names["annotations"] = os.path.relpath(marks, self.folder.parent)
        folder = write_dicom(self.folder / self.name(""), ct.values, self.affine, canaries)
        self.add("dcm", folder, good=True, **names)
        # The others are read, but not followed through the later stages, which see the same kind of record.
        self.add("nii", plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries))
        self.add("mhd", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries))
        self.add("nrrd", plant_nrrd(self.folder / self.name(".nrrd"), ct, canaries))
        self.add("zip", plant_archive(self.folder / self.name(".zip"), folder, canaries))

        def gap(index, data):
            data.SeriesDescription = canaries.word("DICOM SeriesDescription of a corrected case")

        folder = write_dicom(self.folder / self.name(""), ct.values, self.affine, canaries, gap)
        files = sorted(folder.iterdir())
        files[40].unlink()
        (folder / f"{files[3].stem}-copy.dcm").write_bytes(files[3].read_bytes())
        (folder / f"{canaries.word('junk file name')}.txt").write_text(canaries.word("junk file"))
        self.add("fixed", folder)

    def add_dicom(self):
        canaries = self.canaries
        for name, change in broken_dicom(canaries).items():
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries, change)
            self.add(f"dcm-{name}", folder)
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        self.add("dcm-uid", folder, series_uid=canaries.number("series_uid of the table", "1.2.3.4.88"))
        for name, keep in (("cut", 0.6), ("empty", 0)):
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
            file = sorted(folder.iterdir())[4]
            file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
            self.add(f"dcm-{name}", folder)
        for syntax in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.3.4.5.6"):
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
            old = b"1.2.840.10008.1.2.1\0"
            for file in folder.iterdir():
                raw = file.read_bytes()
                at = raw.index(old, 132)
                padded = syntax.encode() + b"\0" * (len(syntax) % 2)
                head = bytearray(raw[: at - 2]) + struct.pack("<H", len(padded)) + padded + raw[at + len(old) :]
                head[140:144] = struct.pack("<I", struct.unpack_from("<I", raw, 140)[0] + len(padded) - len(old))
                file.write_bytes(head)
            self.add(f"dcm-syntax-{syntax.rpartition('.')[2]}", folder)
        outside = self.folder.parent / canaries.word("symlink target")
        outside.write_text("x")
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        (folder / f"{canaries.word('symlink name')}.dcm").symlink_to(outside)
        self.add("dcm-link", folder)

    def add_files(self):
        canaries, ct = self.canaries, self.ct
        whole = plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries)
        path = plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries, qoffset_x=900, qform_code=1)
        self.add("nii-qform", path)
        self.add("nii-codes", plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries, codes=(0, 0)))
        cut = self.folder / self.name(".nii.gz")
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        self.add("nii-cut", cut)
        text = self.folder / self.name(".nii")
        text.write_text(canaries.word("no NIfTI at all") * 100)
        self.add("nii-text", text)
        self.add("mhd-type", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementType=canaries.word("MHD ElementType")))  # fmt: skip
        self.add("mhd-size", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             DimSize=canaries.word("MHD DimSize")))  # fmt: skip
        self.add("mhd-path", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementDataFile=f"../{canaries.word('MHD path')}.raw"))  # fmt: skip
        self.add("mhd-gone", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementDataFile=f"{canaries.word('MHD missing data')}.raw"))  # fmt: skip
        for key in ("type", "encoding", "sizes", "space", "space directions", "endian", "dimension"):
            change = {key: canaries.word(f"NRRD {key}")}
            path = plant_nrrd(self.folder / self.name(".nrrd"), ct, canaries, **change)
            self.add(f"nrrd-{key.replace(' ', '-')}", path)
        path = plant_nrrd(self.folder / self.name(".nhdr"), ct, canaries,
                          **{"data file": f"../{canaries.word('NRRD path')}.raw"})  # fmt: skip
        self.add("nrrd-path", path)
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        path = plant_archive(self.folder / self.name(".zip"), folder, canaries, f"../{canaries.word('zip path')}/")
        self.add("zip-unsafe", path)
        self.add("missing", self.folder / canaries.word("missing file"))
        other = self.folder / f"{canaries.word('name of an unknown format')}.{canaries.word('suffix')}"
        other.write_text("what is it")
        self.add("other", other)

    def add_side_files(self):
        """A good CT with a mask or annotations that are wrong."""
        canaries = self.canaries
        ct = self.folder / self.name(".nii.gz")
        write_volume(ct, self.ct)
        wrong = self.folder / f"{canaries.word('wrong mask name')}.nii.gz"
        plant_nifti(wrong, self.ct, canaries, qoffset_x=900, qform_code=1)
        name = os.path.relpath(wrong, self.folder.parent)
        self.add("mask", ct, mask=name)
        self.add("marks", ct, annotations=name)
        gone = os.path.relpath(self.folder / f"{canaries.word('missing mask')}.nii.gz", self.folder.parent)
        self.add("mask-gone", ct, mask=gone)
        self.add("marks-gone", ct, annotations=gone.replace(".nii.gz", ".csv"))
        tables = {
            "cell": f"seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,{canaries.word('annotation number')},1,1,1\n",
            "header": f"seriesuid,{canaries.word('annotation header')},coordY\n1,2,3\n",
            "uid": f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{canaries.word('annotation series')},1,1,1,5\n",
            "bytes": "\udcff" + canaries.word("annotation bytes"),
        }
        for key, text in tables.items():
            path = self.folder / f"{canaries.word('wrong annotation name')}-{key}.csv"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            self.add(f"marks-{key}", ct, annotations=os.path.relpath(path, self.folder.parent))
