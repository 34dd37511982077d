"""A CT from DICOM files: headers first, then the pixels of one series, sorted by position."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.case_files import list_files
from drrx.io.dicom_child import DicomChild, get_child
from drrx.io.dicom_geometry import SAME_POSITION_MM, StackGrid, check_headers, make_grid, sort_slices
from drrx.io.dicom_header import SliceHeader, read_headers
from drrx.io.dicom_pixels import read_pixels
from drrx.io.dicom_series import choose_series
from drrx.io.hu import fill_padding
from drrx.io.plain import make_corrupt
from drrx.io.reading import Reading, apply_rescale, check_shape
from drrx.io.settings import ReadCtSettings
from drrx.io.uid import hash_uid
from drrx.records.case import Correction, Fact
from drrx.volume import Volume


def read_dicom(path: Path, settings: ReadCtSettings, where: str, series_uid: str | None = None) -> Reading:
    """Read one CT series of a folder (or the series of one file) as LPS, padding filled, gaps interpolated.

    Parameters
    ----------
    path
        Folder, or one file of the series.
    settings
        What is accepted, what is repaired, and the limits of the process that opens the files.
    where
        The case, for messages.
    series_uid
        Series to take; None: the rule of :func:`drrx.io.dicom_series.choose_series`.

    Raises
    ------
    CaseRefused
        See :mod:`drrx.io.dicom_series` and :mod:`drrx.io.dicom_geometry`; also ``NOT_CT``, ``LINK_ESCAPE``,
        ``NOT_SUPINE``, ``BURNED_IN``, ``DUPLICATE_POSITION``, ``NO_DECODER``, ``CORRUPT_FILE``, ``TOO_LARGE`` and
        those of :func:`drrx.io.hu.fill_padding`.
    """
    child = get_child(settings.decode_memory_mb, settings.decode_seconds)
    headers, own_series = read_case_headers(path, settings, where)
    series, corrections = choose_series(headers, where, settings, series_uid or own_series)
    _check_content(series, where, settings)
    check_headers(series, where, settings)
    series, notes = _drop_duplicates(series, child, where)
    ordered, _ = sort_slices(series)
    check_shape(where, (len(ordered), ordered[0].rows, ordered[0].columns), settings)
    grid = make_grid(ordered, where, settings)
    reading = _read_stack(ordered, grid, child, where)
    reading.corrections = [*corrections, *notes, *grid.corrections]
    reading.flags = _make_flags(ordered)
    reading = fill_padding(reading, where, settings)
    reading.volume = Volume(_fill_gaps(reading.volume.values, grid), grid.world_from_index)
    return reading


def read_case_headers(path: Path, settings: ReadCtSettings, where: str) -> tuple[list[SliceHeader], str | None]:
    """Read the headers of a folder, or of the folder around a file; also the series of that file.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``, ``TOO_LARGE``, ``LINK_ESCAPE``, or ``NOT_CT`` when there is no DICOM file at all.
    """
    child = get_child(settings.decode_memory_mb, settings.decode_seconds)
    is_folder = path.is_dir()
    files = list_files(path if is_folder else path.parent, where, settings.follow_links, deep=is_folder)
    headers = read_headers(files, child, where)
    if not headers:
        raise CaseRefused(
            "NOT_CT", where=where, found=f"{len(files)} files, none of them DICOM", needed="a DICOM CT series",
            hint="Give the folder that holds the .dcm files, or a NIfTI, MHA or NRRD file.",
        )  # fmt: skip
    if is_folder:
        return headers, None
    own = next((header for header in headers if header.file == path), None)
    if own is None:
        raise make_corrupt(where, "no DICOM header", "a DICOM file")
    return headers, own.series_uid


def _check_content(series: Sequence[SliceHeader], where: str, settings: ReadCtSettings) -> None:
    if any(header.is_burned_in for header in series):
        raise CaseRefused(
            "BURNED_IN", where=where, found="slices with text burned into them (BurnedInAnnotation YES)",
            needed="slices without", hint="Export the series again without annotations.",
        )  # fmt: skip
    if settings.not_supine == "refuse" and _lies_otherwise(series[0]):
        raise CaseRefused(
            "NOT_SUPINE", where=where, found=f"a patient who lies otherwise ({series[0].scanner['patient_position']})",
            needed="a patient on the back: organs and fluid shift, and the table lies in front",
            hint="Set read_ct.not_supine to keep if you want it all the same.",
        )  # fmt: skip


def _lies_otherwise(header: SliceHeader) -> bool:
    position = str(header.scanner.get("patient_position", ""))
    return bool(position) and not position.endswith("S")  # HFP, FFDR, ...: not on the back


def _drop_duplicates(
    series: Sequence[SliceHeader], child: DicomChild, where: str
) -> tuple[list[SliceHeader], list[Correction]]:
    ordered, depths = sort_slices(series)
    kept: list[SliceHeader] = []
    same = np.concatenate([[False], np.diff(depths) < SAME_POSITION_MM])
    different = False
    for header, is_same in zip(ordered, same, strict=True):
        if is_same and _are_same(kept[-1], header, child, where):
            continue
        different |= bool(is_same)
        kept.append(header)
    dropped = len(ordered) - len(kept)
    notes = [Correction("DUPLICATES_DROPPED", f"{dropped} slices given twice left aside")] if dropped else []
    return (kept, notes) if not different else _choose_phase(kept, notes, where)


def _are_same(one: SliceHeader, other: SliceHeader, child: DicomChild, where: str) -> bool:
    first, second = (read_pixels(header, child, where).values for header in (one, other))
    return (one.slope, one.intercept) == (other.slope, other.intercept) and np.array_equal(first, second)


def _choose_phase(
    series: list[SliceHeader], notes: list[Correction], where: str
) -> tuple[list[SliceHeader], list[Correction]]:
    phases: dict[tuple[int, int], list[SliceHeader]] = {}
    for header in series:
        phases.setdefault(header.phase, []).append(header)
    clean = {key: group for key, group in phases.items() if (np.diff(sort_slices(group)[1]) >= SAME_POSITION_MM).all()}
    if len(phases) < 2 or len(clean) < len(phases):
        raise CaseRefused(
            "DUPLICATE_POSITION", where=where, found="different slices at the same position",
            needed="one slice per position (or phases told apart by AcquisitionNumber)",
            hint="Two reconstructions share a series: split them into folders of their own.",
        )  # fmt: skip
    best = min(clean, key=lambda key: (-len(clean[key]), key))
    text = f"1 of {len(phases)} phases taken: acquisition {best[0]}, {len(clean[best])} slices"
    return clean[best], [*notes, Correction("PHASE_CHOSEN", text)]


def _read_stack(ordered: Sequence[SliceHeader], grid: StackGrid, child: DicomChild, where: str) -> Reading:
    slices, padding, hashes, syntax = [], [], set(), ""
    for header in ordered:
        pixels = read_pixels(header, child, where)
        padding.append(pixels.padding)
        slices.append(apply_rescale(pixels.values, header.slope or 1.0, header.intercept or 0.0))
        hashes.add(pixels.sha256)
        syntax = pixels.syntax
    digest = hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
    source: dict[str, Fact] = {"format": "dicom", "num_files": len(hashes), "sha256": digest, **ordered[0].scanner}
    source |= {"transfer_syntax": syntax, "series_sha256": hash_uid(ordered[0].series_uid)}
    marked = None
    if any(part is not None for part in padding):
        nothing = np.zeros(slices[0].shape, dtype=bool)
        marked = np.stack([nothing if part is None else part for part in padding])
    return Reading(Volume(np.stack(slices), grid.world_from_index), marked, source=source)


def _fill_gaps(values: NDArray[np.int16], grid: StackGrid) -> NDArray[np.int16]:
    """Interpolate linearly where the grid has no slice of its own; given slices stay bit-equal."""
    if len(values) == grid.num_slices and (grid.depths == np.arange(len(values))).all():
        return values
    filled = np.empty((grid.num_slices, *values.shape[1:]), dtype=np.int16)
    for index in range(grid.num_slices):
        after = min(int(np.searchsorted(grid.depths, index)), len(values) - 1)
        before = max(after - 1, 0)
        span = grid.depths[after] - grid.depths[before]
        share = (index - grid.depths[before]) / span if span > 0 else 1.0
        if share >= 1 - 1e-6:
            filled[index] = values[after]
        else:
            filled[index] = np.rint(values[before] * (1 - share) + values[after] * share)
    return filled


def _make_flags(ordered: Sequence[SliceHeader]) -> list[str]:
    first = ordered[0]
    numbers = [header.instance for header in ordered if header.instance is not None]
    # Numbers begin with 1 (some count from 0) and have no holes: otherwise slices at an end may be missing.
    odd = bool(numbers) and (min(numbers) not in (0, 1) or max(numbers) - min(numbers) + 1 != len(set(numbers)))
    tests = {
        "CONTRAST": "contrast_agent" in first.scanner, "LOSSY": "lossy" in first.scanner,
        "NOT_SUPINE": _lies_otherwise(first), "NO_PREAMBLE": not all(header.has_preamble for header in ordered),
        "INSTANCE_NUMBERS_ODD": odd,
    }  # fmt: skip
    return [flag for flag, is_so in tests.items() if is_so]
