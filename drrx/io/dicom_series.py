"""Which slices of a DICOM folder make the CT."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from drrx.errors import CaseRefused
from drrx.io.dicom_header import ENHANCED_CT, SliceHeader
from drrx.io.settings import ReadCtSettings
from drrx.records.case import Correction

# A series that covers less than this share of the longest one is not a rival of it.
RIVAL_SHARE = 0.9
MAX_SCOUTS = 3
AXIAL = 2  # the world axis across axial slices
LIST_HINT = "`drrx read-ct FOLDER --list-series` tells them apart; name one in the column series_uid (or --series-uid)."

Series = list[SliceHeader]


def choose_series(
    headers: Sequence[SliceHeader], where: str, settings: ReadCtSettings, series_uid: str | None
) -> tuple[list[SliceHeader], list[Correction]]:
    """Return the slices of one CT series and what was left aside.

    Without ``series_uid`` the rule is: axial series before others (reformats); of those that cover at least 90 % of the
    longest one, those with the thinnest slices; of these the ones as they were scanned (ORIGINAL), with most slices,
    with a kernel made for soft tissue. More than one left is ``SERIES_AMBIGUOUS``. A scan that lies in two series is
    joined where all that headers say agrees.

    Raises
    ------
    CaseRefused
        ``NOT_CT``, ``ENHANCED_UNSUPPORTED``, ``SERIES_NOT_FOUND``, ``SERIES_AMBIGUOUS``, ``SERIES_SPLIT``.
    """
    wanted = [header for header in headers if series_uid in (None, header.series_uid)]
    if not wanted:
        raise CaseRefused(
            "SERIES_NOT_FOUND", where=where, found=f"no series of that series_uid; there are {_tell(headers)}",
            needed="one of these", hint=LIST_HINT,
        )  # fmt: skip
    slices = [header for header in wanted if header.is_ct_slice]
    if not slices:
        raise _make_not_ct(wanted, where)
    groups, scouts = _split_scouts(group_series(slices))
    chosen = _choose(groups, where, settings)
    joined, parts = _join(chosen, groups, where)
    corrections = []
    if parts > 1:
        corrections.append(Correction("SERIES_JOINED", f"{parts} series that make one scan joined: {_measure(joined)}"))
    if len(groups) > parts:
        text = f"{parts} of {len(groups)} CT series taken: {_measure(joined)}"
        corrections.append(Correction("SERIES_CHOSEN", text))
    chosen, more_scouts = _drop_scouts(joined)
    other = len(wanted) - len(slices) + scouts + len(more_scouts)
    if other:
        corrections.append(Correction("OTHER_DROPPED", f"{other} DICOM objects that are no CT slices left aside"))
    return chosen, corrections


def group_series(headers: Sequence[SliceHeader]) -> list[Series]:
    """Return the slices by SeriesInstanceUID."""
    groups: dict[str, Series] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    return list(groups.values())


def _split_scouts(groups: list[Series]) -> tuple[list[Series], int]:
    """Leave out series of up to three slices in another main plane than the longest: scouts that do not say so."""
    plane = _plane(max(groups, key=len)[0])
    kept = [series for series in groups if len(series) > MAX_SCOUTS or _plane(series[0]) in (plane, -1)] or groups
    return kept, sum(map(len, groups)) - sum(map(len, kept))


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


def _choose(groups: list[Series], where: str, settings: ReadCtSettings) -> Series:
    if len(groups) == 1:
        return groups[0]
    fit = [series for series in groups if len(series) >= settings.min_num_slices] or groups
    fit = [series for series in fit if _plane(series[0]) == AXIAL] or fit
    spans = [_span(series) for series in fit]
    longest = max(span for span, _ in spans)
    rivals = [(step, series) for (span, step), series in zip(spans, fit, strict=True) if span >= RIVAL_SHARE * longest]
    thinnest = min(step for step, _ in rivals)
    thin = [series for step, series in rivals if step <= 1.05 * thinnest]
    best = [series for series in thin if "ORIGINAL" in series[0].image_type] or thin
    best = [series for series in best if len(series) >= 0.95 * max(map(len, best))]
    best = [series for series in best if series[0].is_soft] or best
    if len(best) > 1:
        raise CaseRefused(
            "SERIES_AMBIGUOUS", where=where, found=_tell([header for series in best for header in series]),
            needed="one CT series", hint=LIST_HINT,
        )  # fmt: skip
    return best[0]


def _join(chosen: Series, groups: list[Series], where: str) -> tuple[Series, int]:
    """Return the chosen series with those that go on where it ends, and how many series that makes."""
    joined, parts = list(chosen), 1
    rest = [series for series in groups if series is not chosen]
    while near := next((series for series in rest if _goes_on(joined, series)), None):
        rest.remove(near)
        if _key(near[0]) != _key(chosen[0]):
            raise CaseRefused(
                "SERIES_SPLIT", where=where, found=f"one scan in two series that differ: {_tell([*joined, *near])}",
                needed="the whole scan with one kernel, matrix and pixel spacing",
                hint=f"Name one part if you mean it. {LIST_HINT}",
            )  # fmt: skip
        joined, parts = joined + [replace(header, series_uid=chosen[0].series_uid) for header in near], parts + 1
    return joined, parts


def _goes_on(series: Series, other: Series) -> bool:
    """Return whether another series of the same patient position begins within two steps of an end of this one."""
    first = series[0]
    span, step = _span(series)
    if not span or not first.frame_uid or not _span(other)[0]:
        return False
    if (other[0].frame_uid, other[0].orientation) != (first.frame_uid, first.orientation):
        return False
    low, high = _ends(series, first)
    other_low, other_high = _ends(other, first)
    return 0 < max(other_low - high, low - other_high) <= 2 * step


def _key(header: SliceHeader) -> tuple[object, ...]:
    size = header.rows, header.columns, header.pixel_spacing_mm
    return *size, header.kernel, header.scanner.get("kvp"), header.slope, header.intercept


def _ends(series: Series, like: SliceHeader) -> tuple[float, float]:
    normal = np.cross((like.orientation or ())[:3], (like.orientation or ())[3:])
    depths = [float(np.dot(normal, header.position_mm or ())) for header in series]
    return min(depths), max(depths)


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
    groups = group_series(headers)
    texts = [f"{len(groups)} series", *(f"{series[0].modality or 'unknown'}: {_measure(series)}" for series in groups)]
    return "; ".join(texts[:7]) + (f" and {len(groups) - 6} more" if len(groups) > 6 else "")


def describe_series(headers: Sequence[SliceHeader]) -> list[tuple[str, str]]:
    """Return SeriesInstanceUID and a line of facts of every series of CT slices, for the eyes of who asks for it."""
    return [(series[0].series_uid, _measure(series)) for series in group_series([h for h in headers if h.is_ct_slice])]
