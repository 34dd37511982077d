"""Small valid DICOM series, and archives of them; a name of a patient is planted in each."""

import functools
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.battery.enhanced import make_enhanced
from tests.dicom_files import make_slices, write_slices
from tests.fuzz.seeds import SECRET, Seed, collect, make_ct, nifti, one


def _slices(shape=(6, 12, 14)) -> list[pydicom.Dataset]:
    ct = make_ct(shape)
    slices = make_slices(ct.values, ct.world_from_index, PatientName=SECRET, PatientID=SECRET, PatientPosition="HFS")
    for data in slices:
        data.SliceThickness, data.Manufacturer, data.ImageComments = "3", SECRET, SECRET
    return slices


def _write_as(syntax: str, slices: list[pydicom.Dataset]) -> Seed:
    def write(folder: Path) -> None:
        for path in sorted(write_slices(folder, slices).iterdir()):
            data = pydicom.dcmread(path)
            if syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
                data.compress(syntax, generate_instance_uid=False)
                data.save_as(path, enforce_file_format=True)
            elif syntax != ExplicitVRLittleEndian:
                _convert(data, syntax).save_as(path, enforce_file_format=True)

    return collect(write, "")


def _convert(data: pydicom.Dataset, syntax: str) -> pydicom.Dataset:
    new = pydicom.Dataset(data)
    new.file_meta = data.file_meta
    new.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        new.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    new["PixelData"].VR = "OW"
    new._read_implicit = new._read_little = None
    return new


@functools.cache
def make_series() -> tuple[Seed, ...]:
    plain = _write_as(ExplicitVRLittleEndian, _slices())
    old = Seed({name: data[132:] for name, data in plain.files.items()})
    others = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    return (plain, old, *(_write_as(syntax, _slices()) for syntax in others))


@functools.cache
def make_packed_series() -> tuple[Seed, ...]:
    return tuple(_write_as(syntax, _slices((4, 36, 40))) for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless))


@functools.cache
def make_multiframe() -> tuple[Seed, ...]:
    slices = _slices()
    made = _write_as(ExplicitVRLittleEndian, [make_enhanced(slices, list(range(len(slices))))])
    packed = _write_as(RLELossless, [make_enhanced(slices, [3, 1, 0, 2, 5, 4])])
    return made, packed


@functools.cache
def make_archives() -> tuple[Seed, ...]:
    files = {f"series/{name}": data for name, data in make_series()[0].files.items()}
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    volume = io.BytesIO()
    with zipfile.ZipFile(volume, "w") as archive:
        archive.writestr("ct.nii", nifti()[0].files["ct.nii"])
    return (
        one("ct.zip", zipped.getvalue()), one("ct.zip", volume.getvalue()), one("ct.tar", tarred.getvalue()),
        one("ct.tar.gz", gzip.compress(tarred.getvalue())),
    )  # fmt: skip


@functools.cache
def make_films() -> tuple[Seed, ...]:
    data = _slices()[0]
    data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"
    syntaxes = (ExplicitVRLittleEndian, RLELossless)
    return tuple(one("film.dcm", *_write_as(syntax, [data]).files.values()) for syntax in syntaxes)
