"""Where the slices of a DICOM series lie; from positions, never from SliceThickness or file names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.canonical import check_spacing
from drrx.io.dicom_header import SliceHeader
from drrx.io.reading import MAX_INTERCEPT_HU, MAX_SLOPE, is_sane_rescale
from drrx.io.settings import ReadCtSettings
from drrx.records.case import Correction

ORIENTATION_TOLERANCE = 1e-3
SPACING_TOLERANCE_MM = 1e-3
# Positions may be off a straight line (rounded tables, 0.02 mm jitter) by this much.
LINE_TOLERANCE_MM = 0.5
JITTER_SHARE = 0.01
JITTER_MM = 0.05
SAME_POSITION_MM = 0.01


@dataclass(frozen=True, eq=False)
class StackGrid:
    """Regular grid of a sorted series.

    Attributes
    ----------
    world_from_index
        LPS mm from (slice, row, column); columns may be oblique or sheared.
    depths
        Depth of each given slice in units of the grid's slices: whole numbers unless the spacing is irregular.
    num_slices
        Slices of the grid; more than given ones when some are missing.
    """

    world_from_index: NDArray[np.float64]
    depths: NDArray[np.float64]
    num_slices: int
    corrections: tuple[Correction, ...] = ()


def check_headers(series: Sequence[SliceHeader], where: str, settings: ReadCtSettings) -> None:
    """Refuse a series whose slices lack what geometry and HU need, or do not fit together.

    Raises
    ------
    CaseRefused
        ``TOO_FEW_SLICES``, ``NO_POSITION``, ``BAD_SPACING``, ``NO_RESCALE``, ``BAD_RESCALE``, ``MATRIX_MIXED``,
        ``ORIENTATION_MIXED``.
    """
    _check_count(series, where, settings)
    for header in series:
        if header.position_mm is None or header.orientation is None or _is_bad_orientation(header.orientation):
            raise _refuse(
                "NO_POSITION", f"{where}, {header.label}", "no valid ImagePositionPatient or ImageOrientationPatient",
                "both in every slice", "Export the series again from the archive; slices cannot be placed without.",
            )  # fmt: skip
        if header.pixel_spacing_mm is None or min(header.pixel_spacing_mm) <= 0:
            raise _refuse("BAD_SPACING", f"{where}, {header.label}", f"PixelSpacing {header.pixel_spacing_mm}",
                          "two numbers above zero, mm", "Export the series again from the archive.")  # fmt: skip
        _check_rescale(header, where)
    _check_same(series, where)


def _check_count(series: Sequence[SliceHeader], where: str, settings: ReadCtSettings) -> None:
    if len(series) < settings.min_num_slices:
        raise _refuse("TOO_FEW_SLICES", where, f"{len(series)} slices", f"at least {settings.min_num_slices}",
                      "Give the whole series; read_ct.min_num_slices sets the limit.")  # fmt: skip


def _is_bad_orientation(orientation: tuple[float, ...]) -> bool:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return abs(row @ row - 1) > 0.01 or abs(column @ column - 1) > 0.01 or abs(row @ column) > 0.01


def _check_rescale(header: SliceHeader, where: str) -> None:
    if header.slope is None or header.intercept is None:
        raise _refuse("NO_RESCALE", f"{where}, {header.label}", "no RescaleSlope or RescaleIntercept", "both",
                      "Stored values are no HU without them. Export the series again.")  # fmt: skip
    if not is_sane_rescale(header.slope, header.intercept):
        raise _refuse(
            "BAD_RESCALE", f"{where}, {header.label}", f"RescaleSlope {header.slope:g}, intercept {header.intercept:g}",
            f"0 < |slope| <= {MAX_SLOPE} and an intercept within {MAX_INTERCEPT_HU}",
            "Export the series again; its HU cannot be trusted.",
        )  # fmt: skip


def _check_same(series: Sequence[SliceHeader], where: str) -> None:
    first = series[0]
    for header in series:
        if (header.rows, header.columns) != (first.rows, first.columns) or not np.allclose(
            header.pixel_spacing_mm or (), first.pixel_spacing_mm or (), rtol=0, atol=SPACING_TOLERANCE_MM
        ):
            raise _refuse(
                "MATRIX_MIXED", where, f"{first.label} {first.rows} x {first.columns} at {first.pixel_spacing_mm} mm "
                f"and {header.label} {header.rows} x {header.columns} at {header.pixel_spacing_mm} mm",
                "one matrix and pixel spacing", "Put each reconstruction into a series or folder of its own.",
            )  # fmt: skip
        if not np.allclose(header.orientation or (), first.orientation or (), rtol=0, atol=ORIENTATION_TOLERANCE):
            raise _refuse(
                "ORIENTATION_MIXED", where, f"ImageOrientationPatient {first.orientation} in {first.label} and "
                f"{header.orientation} in {header.label}", "one orientation",
                "Put each stack into a series or folder of its own.",
            )  # fmt: skip


def get_normal(header: SliceHeader) -> NDArray[np.float64]:
    """Return the unit vector across the slices."""
    normal = np.cross(header.orientation[:3], header.orientation[3:])  # type: ignore[index]
    return np.asarray(normal / np.linalg.norm(normal))


def sort_slices(series: Sequence[SliceHeader]) -> tuple[list[SliceHeader], NDArray[np.float64]]:
    """Return the slices ordered along their normal (ties by UID, file and frame) and their depths in mm."""
    normal = get_normal(series[0])
    keyed = [(float(normal @ np.array(header.position_mm)), header) for header in series]
    keyed.sort(key=lambda item: (item[0], item[1].sop_uid, item[1].file, item[1].frame))
    return [header for _, header in keyed], np.array([depth for depth, _ in keyed])


def make_grid(ordered: Sequence[SliceHeader], where: str, settings: ReadCtSettings) -> StackGrid:
    """Fit a regular grid to sorted slices at different positions.

    Raises
    ------
    CaseRefused
        ``TOO_FEW_SLICES`` (too short), ``BAD_SPACING``, ``POSITION_MIXED`` (not on a line), ``SLICE_GAP``.
    """
    _check_count(ordered, where, settings)
    positions = np.array([header.position_mm for header in ordered], dtype=np.float64)
    row, column = np.array(ordered[0].orientation).reshape(2, 3)
    depths_mm = positions @ get_normal(ordered[0])
    steps = np.diff(depths_mm)
    step = float(np.median(steps))
    between_rows, between_columns = ordered[0].pixel_spacing_mm or (0.0, 0.0)
    check_spacing(where, (step, between_rows, between_columns), settings)
    depths, step, corrections = _fit_steps(depths_mm, step, where, settings, [p[2] for p in positions])
    across = _fit_line(positions, depths, where)
    affine = np.eye(4)
    affine[:3, 0] = across[0]
    affine[:3, 1], affine[:3, 2] = column * between_rows, row * between_columns
    affine[:3, 3] = across[1]
    num_slices = int(np.floor(depths[-1] + 1e-3)) + 1
    if (num_slices - 1) * step < settings.min_length_mm:
        length = f"slices over {(num_slices - 1) * step:.0f} mm"
        raise _refuse("TOO_FEW_SLICES", where, length, f"at least {settings.min_length_mm:g} mm",
                      "Give the whole chest; read_ct.min_length_mm sets the limit.")  # fmt: skip
    return StackGrid(affine, depths, num_slices, corrections)


def _fit_steps(
    depths_mm: NDArray[np.float64], step: float, where: str, settings: ReadCtSettings, z_mm: list[float]
) -> tuple[NDArray[np.float64], float, tuple[Correction, ...]]:
    steps = np.diff(depths_mm)
    whole = np.concatenate([[0.0], np.cumsum(np.round(steps / step))])
    tolerance = max(JITTER_SHARE * step, JITTER_MM)
    slope, start = np.polyfit(whole, depths_mm, 1)
    regular = bool((np.abs(depths_mm - start - slope * whole) <= tolerance).all() and (np.diff(whole) >= 1).all())
    missing = int(whole[-1]) + 1 - len(depths_mm)
    if regular and missing == 0:
        return whole, float(slope), ()
    widest = int(np.argmax(steps))
    allowed = max(1, int(settings.max_missing_percent / 100 * len(depths_mm)))
    if steps[widest] > settings.max_gap_mm + tolerance or (regular and missing > allowed):
        raise _refuse(
            "SLICE_GAP", where, f"a gap of {steps[widest]:.2f} mm between z = {z_mm[widest]:.1f} and "
            f"{z_mm[widest + 1]:.1f} mm (usual step {step:.2f} mm, {max(missing, 0)} slices missing in all)",
            f"gaps up to {settings.max_gap_mm:g} mm, at most {allowed} missing",
            "Fetch the missing slices from the archive, or raise read_ct.max_gap_mm or max_missing_percent.",
        )  # fmt: skip
    if regular:
        text = (
            f"{missing} missing slice(s) interpolated, widest gap {steps[widest]:.2f} mm at z = {z_mm[widest]:.1f} mm"
        )
        return whole, float(slope), (Correction("GAP_FILLED", text),)
    text = f"steps of {steps.min():.2f} to {steps.max():.2f} mm resampled to {step:.2f} mm"
    return (depths_mm - depths_mm[0]) / step, step, (Correction("SPACING_RESAMPLED", text),)


def _fit_line(
    positions: NDArray[np.float64], depths: NDArray[np.float64], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return step and start of the straight line through the positions (least squares)."""
    design = np.stack([depths, np.ones_like(depths)], axis=1)
    (across, start), *_ = np.linalg.lstsq(design, positions, rcond=None)
    off = float(np.linalg.norm(positions - design @ np.stack([across, start]), axis=1).max())
    if off > LINE_TOLERANCE_MM:
        raise _refuse(
            "POSITION_MIXED", where, f"slices up to {off:.2f} mm off a straight stack",
            f"within {LINE_TOLERANCE_MM} mm", "The field of view changes between slices: split the series.",
        )  # fmt: skip
    return across, start


def _refuse(code: str, where: str, found: str, needed: str, hint: str) -> CaseRefused:
    return CaseRefused(code, where=where, found=found, needed=needed, hint=hint)
