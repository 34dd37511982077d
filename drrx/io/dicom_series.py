"""Which slices of a DICOM folder make the CT."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drrx.errors import CaseRefused
from drrx.io.dicom_header import ENHANCED_CT, SliceHeader, list_files, read_header
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import make_corrupt
from drrx.records.case import Correction

# A series that covers less than this share of the longest one is not a rival of it.
RIVAL_SHARE = 0.9
MAX_SCOUTS = 3


def read_headers(path: Path) -> tuple[list[SliceHeader], str | None]:
    """Read the headers of a folder, or of the folder around a file; also the series of that file.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``, or ``NOT_CT`` when there is no DICOM file at all.
    """
    folder = path if path.is_dir() else path.parent
    files = list_files(folder) if path.is_dir() else [file for file in sorted(folder.iterdir()) if file.is_file()]
    headers = [header for file in files if (header := read_header(file, folder)) is not None]
    if not headers:
        raise CaseRefused(
            "NOT_CT", where=path.name, found=f"{len(files)} files, none of them DICOM", needed="a DICOM CT series",
            hint="Give the folder that holds the .dcm files, or a NIfTI, MHA or NRRD file.",
        )  # fmt: skip
    if path.is_dir():
        return headers, None
    own = next((header for header in headers if header.file == path), None)
    if own is None:
        raise make_corrupt(path, "no DICOM header", "a DICOM file")
    return headers, own.series_uid


def choose_series(
    headers: Sequence[SliceHeader], where: str, settings: ReadCtSettings, series_uid: str | None
) -> tuple[list[SliceHeader], list[Correction]]:
    """Return the slices of one CT series and what was left aside.

    Without ``series_uid`` the rule is: of the series that cover at least 90 % of the longest one, the one with the
    thinnest slices; a tie is ``SERIES_AMBIGUOUS``.

    Raises
    ------
    CaseRefused
        ``NOT_CT``, ``ENHANCED_UNSUPPORTED``, ``SERIES_NOT_FOUND``, ``SERIES_AMBIGUOUS``, ``SERIES_SPLIT``.
    """
    wanted = [header for header in headers if series_uid in (None, header.series_uid)]
    if not wanted:
        raise CaseRefused(
            "SERIES_NOT_FOUND", where=where, found=f"no series {series_uid}; there are {_tell(headers)}",
            needed="one of these", hint="Correct series_uid in the cohort table, or leave it empty.",
        )  # fmt: skip
    slices = [header for header in wanted if header.is_ct_slice]
    if not slices:
        raise _make_not_ct(wanted, where)
    groups: dict[str, list[SliceHeader]] = {}
    for header in slices:
        groups.setdefault(header.series_uid, []).append(header)
    chosen = _choose(list(groups.values()), where, settings)
    _check_split(chosen, list(groups.values()), where)
    corrections = []
    if len(groups) > 1:
        uid = chosen[0].series_uid
        corrections.append(
            Correction("SERIES_CHOSEN", f"1 of {len(groups)} CT series taken: {uid}, {_measure(chosen)}")
        )
    chosen, scouts = _drop_scouts(chosen)
    other = len(wanted) - len(slices) + len(scouts)
    if other:
        corrections.append(Correction("OTHER_DROPPED", f"{other} DICOM objects that are no CT slices left aside"))
    return chosen, corrections


def _make_not_ct(headers: Sequence[SliceHeader], where: str) -> CaseRefused:
    if any(header.sop_class in ENHANCED_CT for header in headers):
        return CaseRefused(
            "ENHANCED_UNSUPPORTED", where=where, found="an enhanced (multi-frame) CT", needed="single-frame CT images",
            hint="Convert it, for example with dcm2niix, and give the .nii.gz.",
        )  # fmt: skip
    kinds = Counter(
        f"{header.modality or 'no modality'}{' scout' if 'LOCALIZER' in header.image_type else ''}"
        for header in headers
    )
    found = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
    return CaseRefused(
        "NOT_CT", where=where, found=found, needed="CT image slices (Modality CT, SOP class CT Image Storage)",
        hint="Point the row of the cohort table at the folder of the chest CT.",
    )  # fmt: skip


def _span(series: Sequence[SliceHeader]) -> tuple[float, float]:
    """Return coverage and median distance of slices in mm (0, 0 if unknown)."""
    first = series[0].orientation
    if first is None or any(header.position_mm is None for header in series):
        return 0.0, 0.0
    normal = np.cross(first[:3], first[3:])
    depths = np.unique(np.round([float(np.dot(normal, header.position_mm or ())) for header in series], 3))
    return float(np.ptp(depths)), float(np.median(np.diff(depths))) if len(depths) > 1 else 0.0


def _choose(groups: list[list[SliceHeader]], where: str, settings: ReadCtSettings) -> list[SliceHeader]:
    if len(groups) == 1:
        return groups[0]
    fit = [series for series in groups if len(series) >= settings.min_num_slices] or groups
    spans = [_span(series) for series in fit]
    longest = max(span for span, _ in spans)
    rivals = [(step, series) for (span, step), series in zip(spans, fit, strict=True) if span >= RIVAL_SHARE * longest]
    thinnest = min(step for step, _ in rivals)
    best = [series for step, series in rivals if step <= 1.05 * thinnest]
    if len(best) > 1:
        raise CaseRefused(
            "SERIES_AMBIGUOUS", where=where, found=_tell([header for series in best for header in series]),
            needed="one CT series", hint="Name the SeriesInstanceUID in the column series_uid (or --series-uid).",
        )  # fmt: skip
    return best[0]


def _check_split(chosen: list[SliceHeader], groups: list[list[SliceHeader]], where: str) -> None:
    """Refuse half a scan: another series that goes on where this one ends, with the same scan parameters."""

    def key(header: SliceHeader) -> tuple[object, ...]:
        return (header.frame_uid, header.orientation, header.pixel_spacing_mm, header.rows, header.kernel)

    def ends(series: list[SliceHeader]) -> tuple[float, float]:
        normal = np.cross(np.array(chosen[0].orientation or [1, 0, 0, 0, 1, 0])[:3], (chosen[0].orientation or ())[3:])
        depths = [float(np.dot(normal, header.position_mm or ())) for header in series]
        return min(depths), max(depths)

    span, step = _span(chosen)
    if not span or not chosen[0].frame_uid:
        return
    low, high = ends(chosen)
    for series in groups:
        if series is chosen or key(series[0]) != key(chosen[0]) or not _span(series)[0]:
            continue
        gap = max(ends(series)[0] - high, low - ends(series)[1])
        if 0 < gap <= 2 * step:
            raise CaseRefused(
                "SERIES_SPLIT", where=where, found=f"one scan in two series: {_tell([*chosen, *series])}",
                needed="the whole scan under one SeriesInstanceUID",
                hint="Join the parts first (same SeriesInstanceUID), or name one part in series_uid if you mean it.",
            )  # fmt: skip


def _drop_scouts(series: list[SliceHeader]) -> tuple[list[SliceHeader], list[SliceHeader]]:
    """Split off up to three slices of another main plane: scouts that do not say so."""
    planes = [_plane(header) for header in series]
    main, count = Counter(planes).most_common(1)[0]
    is_scout = [plane not in (main, -1) for plane in planes]
    if sum(is_scout) > MAX_SCOUTS or sum(is_scout) >= count:
        return series, []
    pairs = list(zip(series, is_scout, strict=True))
    return [header for header, other in pairs if not other], [header for header, other in pairs if other]


def _plane(header: SliceHeader) -> int:
    """Return the world axis that the slice is across, or -1 when it does not say so."""
    if header.orientation is None:
        return -1
    normal = np.abs(np.cross(header.orientation[:3], header.orientation[3:]))
    return int(normal.argmax()) if normal.max() > 0.5 else -1


def _measure(series: Sequence[SliceHeader]) -> str:
    span, step = _span(series)
    return f"{len(series)} slices, {step:.2f} mm apart, {span:.0f} mm, kernel {series[0].kernel or 'unknown'}"


def _tell(headers: Sequence[SliceHeader]) -> str:
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    texts = [f"{uid} ({series[0].modality}: {_measure(series)})" for uid, series in sorted(groups.items())]
    return "; ".join(texts[:6]) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")
