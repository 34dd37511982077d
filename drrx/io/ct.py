"""The door for CTs: any supported file in, one canonical volume and its record out."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from drrx.errors import CaseRefused
from drrx.io.archive import ARCHIVES, OTHER_CONTAINERS, refuse_container, unpack
from drrx.io.canonical import make_canonical
from drrx.io.case_files import list_files
from drrx.io.dicom import read_dicom
from drrx.io.dicom_header import looks_like_dicom
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
        DICOM folder or file, ``.nii``, ``.nii.gz``, ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``; or a ``.zip``,
        ``.tar``, ``.tar.gz`` or ``.tgz`` of one of these.
    settings
        What is accepted and what is repaired.
    case, cohort
        Ids for the record; without ``case`` the name of the file or folder is used. With ``case`` messages name the
        case and not the file: names of files often hold names of patients.
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
    where = f"case {case}" if case else path.name
    try:
        reading = read_volume_file(path, settings, series_uid, where)
        if reading.source["format"] != "dicom":
            reading = fill_padding(reading, where, settings)
        volume = make_canonical(reading, where, settings)
        _check_length(volume, where, settings)
    except CaseRefused as error:
        raise error.within(where) from error
    if volume.spacing_mm[0] > settings.thick_slice_mm + 1e-3:
        reading.flags.append("THICK_SLICES")
    record = CaseRecord(
        case=case or make_case_id(path), cohort=cohort, status="corrected" if reading.corrections else "accepted",
        corrections=tuple(reading.corrections), flags=tuple(sorted(set(reading.flags))),
        geometry=measure_geometry(volume), source=dict(sorted(reading.source.items())),
    )  # fmt: skip
    return volume, record


def read_volume_file(
    path: Path, settings: ReadCtSettings, series_uid: str | None = None, where: str | None = None
) -> Reading:
    """Read any supported volume in its own axis order; only DICOM has its padding filled already.

    ``where`` names the volume in messages about DICOM files; other readers say the name of the file.
    """
    where = path.name if where is None else where
    name = path.name.lower()
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError:  # a name that is too long to be one
        is_folder = is_there = False
    if is_folder:
        return read_dicom(path, settings, where, series_uid)
    if not is_there:
        raise CaseRefused(
            "FILE_MISSING", where=path.name, found="no such file or folder", needed="a CT",
            hint="Correct the path; in a cohort table it is relative to the folder of the table.",
        )  # fmt: skip
    if reader := find_reader(path):
        reading = reader(path, settings)
        hashes = [sha256_file(file) for file in (path, reading.data_file) if file is not None]
        both = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
        reading.source["sha256"] = hashes[0] if reading.data_file is None else both
        return reading
    if name.endswith(ARCHIVES):
        return _read_archive(path, settings, series_uid, where)
    if name.endswith(OTHER_CONTAINERS):
        raise refuse_container(path)
    if path.is_file() and looks_like_dicom(path):
        return read_dicom(path, settings, where, series_uid)
    raise CaseRefused(
        "UNKNOWN_FORMAT", where=path.name, found="a file of another kind",
        needed=f"a DICOM folder or file, {', '.join(READERS)}, or an archive ({', '.join(ARCHIVES)})",
        hint="Convert it, or unpack the archive and give the folder.",
    )  # fmt: skip


def find_reader(path: Path) -> Callable[[Path, ReadCtSettings], Reading] | None:
    """Return the reader of a volume file, by its suffix; None for other files."""
    return next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)


def _read_archive(path: Path, settings: ReadCtSettings, series_uid: str | None, where: str) -> Reading:
    with unpack(path, settings) as folder:
        files = list_files(folder, where, "inside")
        volumes = [file.path for file in files if find_reader(file.path)]
        if len(volumes) > 1:
            raise CaseRefused(
                "SERIES_AMBIGUOUS", where=where, found=f"an archive with {len(volumes)} volumes", needed="one CT",
                hint="Unpack it and give the file that you mean.",
            )  # fmt: skip
        reading = read_volume_file(volumes[0] if volumes else folder, settings, series_uid, where)
    reading.correct("UNPACKED", f"{len(files)} files unpacked")
    reading.source["archive_sha256"] = sha256_file(path)
    return reading


def make_case_id(path: Path) -> str:
    """Return a valid case id from a file or folder name."""
    name = path.resolve().name
    for suffix in sorted((*READERS, *ARCHIVES), key=len, reverse=True):
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
