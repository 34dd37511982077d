"""The door for CTs: any supported file in, one canonical volume and its record out."""

import re
from collections.abc import Callable
from pathlib import Path

from drrx.errors import CaseRefused
from drrx.io.canonical import make_canonical
from drrx.io.dicom import read_dicom
from drrx.io.files import sha256_file
from drrx.io.hu import fill_padding
from drrx.io.metaimage import read_metaimage
from drrx.io.nifti_ct import read_nifti
from drrx.io.nrrd import read_nrrd
from drrx.io.reading import Reading
from drrx.io.settings import ReadCtSettings
from drrx.records.case import CaseRecord, Fact
from drrx.volume import Volume

READERS: dict[str, Callable[[Path, ReadCtSettings], Reading]] = {
    ".nii": read_nifti, ".nii.gz": read_nifti, ".mha": read_metaimage, ".mhd": read_metaimage, ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
}  # fmt: skip


def read_ct(
    path: Path | str, settings: ReadCtSettings, *, case: str = "", cohort: str = "", series_uid: str | None = None
) -> tuple[Volume, CaseRecord]:
    """Read a chest CT and bring it into the one form that drrx uses.

    Parameters
    ----------
    path
        DICOM folder or file, ``.nii``, ``.nii.gz``, ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``.
    settings
        What is accepted and what is repaired.
    case, cohort
        Ids for the record; without ``case`` the name of the file or folder is used.
    series_uid
        SeriesInstanceUID to take when a DICOM folder holds several.

    Returns
    -------
    volume
        int16 HU, ``[slice, row, column]``, axis-aligned LPS, padding and outside = -1000 HU.
    record
        ``accepted`` or ``corrected``, with corrections, flags and facts.

    Raises
    ------
    CaseRefused
        With a stable ``code``; ``CaseRecord.from_refusal`` makes its record.
    """
    path = Path(path)
    reading = read_volume_file(path, settings, series_uid)
    where = path.name
    if reading.source["format"] != "dicom":
        reading = fill_padding(reading, where, settings)
        reading.source["sha256"] = sha256_file(path)
    volume = make_canonical(reading, where, settings)
    _check_length(volume, where, settings)
    if volume.spacing_mm[0] > settings.thick_slice_mm + 1e-3:
        reading.flags.append("THICK_SLICES")
    record = CaseRecord(
        case=case or make_case_id(path), cohort=cohort, status="corrected" if reading.corrections else "accepted",
        corrections=tuple(reading.corrections), flags=tuple(sorted(set(reading.flags))),
        geometry=measure_geometry(volume), source=dict(sorted(reading.source.items())),
    )  # fmt: skip
    return volume, record


def read_volume_file(path: Path, settings: ReadCtSettings, series_uid: str | None = None) -> Reading:
    """Read any supported volume in its own axis order; only DICOM has its padding filled already."""
    if path.is_dir():
        return read_dicom(path, settings, series_uid)
    if not path.exists():
        raise CaseRefused(
            "FILE_MISSING", where=str(path), found="no such file or folder", needed="a CT",
            hint="Correct the path; in a cohort table it is relative to the folder of the table.",
        )  # fmt: skip
    reader = next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)
    if reader is not None:
        return reader(path, settings)
    with path.open("rb") as stream:
        is_dicom = stream.read(132)[128:] == b"DICM"
    if is_dicom or path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        return read_dicom(path, settings, series_uid)
    raise CaseRefused(
        "UNKNOWN_FORMAT", where=path.name, found=f"suffix {path.suffix or 'none'}",
        needed=f"a DICOM folder or file, or {', '.join(READERS)}",
        hint="Convert it, or unpack the archive and give the folder.",
    )  # fmt: skip


def make_case_id(path: Path) -> str:
    """Return a valid case id from a file or folder name."""
    name = path.resolve().name
    for suffix in sorted(READERS, key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-")[:64] or "case"


def _check_length(volume: Volume, where: str, settings: ReadCtSettings) -> None:
    length_mm = (volume.shape[0] - 1) * volume.spacing_mm[0]
    if volume.shape[0] < settings.min_num_slices or length_mm < settings.min_length_mm - 1e-3:
        raise CaseRefused(
            "TOO_FEW_SLICES", where=where, found=f"{volume.shape[0]} slices over {length_mm:.0f} mm from foot to head",
            needed=f"at least {settings.min_num_slices} slices and {settings.min_length_mm:g} mm",
            hint="Give the whole chest; read_ct.min_num_slices and min_length_mm set the limits.",
        )  # fmt: skip


def measure_geometry(volume: Volume) -> dict[str, Fact]:
    """Return the facts of a canonical CT's grid that its case record holds."""
    return {
        "shape": list(volume.shape),
        "spacing_mm": [round(mm, 6) for mm in volume.spacing_mm],
        "extent_mm": [round(n * mm, 3) for n, mm in zip(volume.shape, volume.spacing_mm, strict=True)],
        "origin_lps_mm": [round(float(mm), 4) for mm in volume.world_from_index[:3, 3]],
    }
