"""What ties the DICOM files of a case together: patient, study, series, frame of reference."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

import drrx
from drrx.dataset.entries import ImageEntry
from drrx.geometry import PROJECTIONS, ViewName

#: Stands for the dates that DICOM asks for; a synthetic image has none.
NO_DATE, NO_TIME = "19000101", "000000"
KINDS = ("cxr", "seg")
ROLES = ("twin", "positive", "sham", "removed")
MAKER = "drrx (synthetic images)"
MAX_ID = 40


def make_uid(*names: str) -> str:
    """Return a UID under 2.25 (PS3.5 B.2) from a custom UUID (RFC 9562, version 8) that depends on ``names`` only."""
    digest = bytearray(hashlib.sha256("\x1f".join(names).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


@dataclass(frozen=True)
class Study:
    """A case as a study, seen from one pair of images.

    Attributes
    ----------
    patient
        Name of the patient's first case.
    key, pair_key
        Hashes that name the study, and the pair's frame of reference.
    """

    patient: str
    key: str
    pair_key: str

    @staticmethod
    def make_key(name: str, pixels: NDArray[np.uint16]) -> str:
        """Return a hash of a twin's name and pixels: equal names in other data sets are other patients."""
        return hashlib.sha256(name.encode() + pixels.tobytes()).hexdigest()

    @property
    def patient_id(self) -> str:
        """``DRRX-<patient>``; a long name is cut and ends with a hash, as DICOM allows 64 characters."""
        cut = f"{self.patient[:MAX_ID]}-{hashlib.sha256(self.patient.encode()).hexdigest()[:8]}"
        return f"DRRX-{self.patient if len(self.patient) <= MAX_ID else cut}"

    def fill(self, dataset: Dataset, entry: ImageEntry, kind: str) -> None:
        """Fill in patient, study, series, frame of reference and equipment of one file (``kind`` cxr or seg)."""
        name = ViewName.parse(entry.view)
        numbers = (name.number, PROJECTIONS.index(name.projection), ROLES.index(entry.role), KINDS.index(kind))
        counts = (len(PROJECTIONS), len(ROLES), len(KINDS))
        variant = "".join(letter for letter in entry.variant if letter.isdigit())
        _set(
            dataset,
            SyntheticData="YES", SpecificCharacterSet="ISO_IR 192",
            PatientName=f"{self.patient_id}^SYNTHETIC", PatientID=self.patient_id, PatientBirthDate="", PatientSex="",
            PatientIdentityRemoved="YES", DeidentificationMethod="Synthetic image; nothing copied from the source CT",
            StudyInstanceUID=make_uid("study", self.key), StudyDate=NO_DATE, StudyTime=NO_TIME, StudyID="1",
            AccessionNumber="", ReferringPhysicianName="", StudyDescription="SYNTHETIC chest radiographs",
            SeriesInstanceUID=make_uid("series", self.key, entry.view, entry.role, kind),
            SeriesNumber=1 + _mix(numbers, counts), InstanceNumber=int(variant or 1),
            FrameOfReferenceUID=make_uid("frame", self.pair_key), PositionReferenceIndicator="",
            Manufacturer=MAKER, ManufacturerModelName="drrx", SoftwareVersions=drrx.__version__,
        )  # fmt: skip


def make_meta(dataset: Dataset) -> FileMetaDataset:
    """Return the file's meta information: uncompressed, written by drrx."""
    meta = FileMetaDataset()
    _set(
        meta, MediaStorageSOPClassUID=dataset.SOPClassUID, MediaStorageSOPInstanceUID=dataset.SOPInstanceUID,
        TransferSyntaxUID=ExplicitVRLittleEndian, ImplementationClassUID=UID(make_uid("drrx")),
        ImplementationVersionName=f"DRRX {drrx.__version__}"[:16],
    )  # fmt: skip
    return meta


def _mix(numbers: tuple[int, ...], counts: tuple[int, ...]) -> int:
    total = numbers[0]
    for number, count in zip(numbers[1:], counts, strict=True):
        total = total * count + number
    return total


def _set(dataset: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
