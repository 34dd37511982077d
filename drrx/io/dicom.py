"""A CT from a DICOM folder: headers first, then the pixels of one series, sorted by position."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from drrx.errors import CaseRefused
from drrx.io.dicom_geometry import SAME_POSITION_MM, StackGrid, check_headers, make_grid, sort_slices
from drrx.io.dicom_header import SliceHeader
from drrx.io.dicom_series import choose_series, read_headers
from drrx.io.hu import fill_padding
from drrx.io.reading import Reading, apply_rescale, check_shape
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import make_corrupt
from drrx.records.case import Correction, Fact
from drrx.volume import Volume

# The old JPEG processes (8 and 12 bit, lossless 14): CTs are rarely stored so, and their decoders can crash.
NO_DECODER = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70))


def read_dicom(path: Path, settings: ReadCtSettings, series_uid: str | None = None) -> Reading:
    """Read one CT series of a folder (or the series of one file) as LPS, padding filled, gaps interpolated.

    Raises
    ------
    CaseRefused
        See :mod:`drrx.io.dicom_series` and :mod:`drrx.io.dicom_geometry`; also ``DUPLICATE_POSITION``,
        ``NO_DECODER``, ``CORRUPT_FILE`` and those of :func:`drrx.io.hu.fill_padding`.
    """
    headers, own_series = read_headers(path)
    series, corrections = choose_series(headers, path.name, settings, series_uid or own_series)
    check_headers(series, path.name, settings)
    series, notes = _drop_duplicates(series, path.name)
    ordered, _ = sort_slices(series)
    check_shape(path.name, (len(ordered), ordered[0].rows, ordered[0].columns), settings)
    grid = make_grid(ordered, path.name, settings)
    reading = _read_stack(ordered, grid)
    reading.corrections = [*corrections, *notes, *grid.corrections]
    reading.flags = _make_flags(ordered[0])
    reading = fill_padding(reading, path.name, settings)
    reading.volume = Volume(_fill_gaps(reading.volume.values, grid), grid.world_from_index)
    return reading


def _drop_duplicates(series: Sequence[SliceHeader], where: str) -> tuple[list[SliceHeader], list[Correction]]:
    ordered, depths = sort_slices(series)
    kept: list[SliceHeader] = []
    same = np.concatenate([[False], np.diff(depths) < SAME_POSITION_MM])
    different = False
    for header, is_same in zip(ordered, same, strict=True):
        if is_same and np.array_equal(read_pixels(kept[-1])[0], read_pixels(header)[0]):
            continue
        different |= bool(is_same)
        kept.append(header)
    dropped = len(ordered) - len(kept)
    notes = [Correction("DUPLICATES_DROPPED", f"{dropped} slices given twice left aside")] if dropped else []
    return (kept, notes) if not different else _choose_phase(kept, notes, where)


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


def read_pixels(header: SliceHeader) -> tuple[NDArray[Any], Dataset, str]:
    """Read one slice: stored values ``[row, column]``, its data set, and the SHA-256 of the file.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE`` (cut or damaged), ``NO_DECODER`` (a compression without a safe decoder), ``NOT_3D``.
    """
    syntax = ""
    try:
        content = header.file.read_bytes()
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
        values = dataset.pixel_array
        if values.dtype.itemsize * 8 < int(dataset.BitsStored):
            raise TypeError(f"{values.dtype} pixels, {dataset.BitsStored} bits stored")
    except (Exception, RecursionError) as error:  # decoders raise many kinds on broken data
        raise _make_pixel_error(header, error, syntax) from error
    if values.shape != (header.rows, header.columns):
        raise CaseRefused(
            "NOT_3D", where=header.name, found=f"pixels of shape {values.shape}",
            needed=f"{header.rows} x {header.columns}, one value per pixel", hint="Give the original CT series.",
        )  # fmt: skip
    return values, dataset, hashlib.sha256(content).hexdigest()


def _make_pixel_error(header: SliceHeader, error: BaseException, syntax: str) -> CaseRefused:
    if syntax in NO_DECODER or (isinstance(error, RuntimeError) and "missing dependencies" in str(error)):
        return CaseRefused(
            "NO_DECODER", where=header.name, found=f"a compression without a safe decoder (transfer syntax {syntax})",
            needed="uncompressed, RLE, JPEG-LS, JPEG 2000 or deflated pixels",
            hint="Decompress it first, for example with dcmdjpeg of DCMTK.",
        )  # fmt: skip
    return make_corrupt(Path(header.name), f"pixels that cannot be read ({type(error).__name__})", "a whole DICOM file")


def _read_stack(ordered: Sequence[SliceHeader], grid: StackGrid) -> Reading:
    slices, padding, hashes, syntax = [], [], [], ""
    for header in ordered:
        values, dataset, sha256 = read_pixels(header)
        padding.append(_find_padding(values, dataset))
        slices.append(apply_rescale(_clear_unused_bits(values, dataset), header.slope or 1.0, header.intercept or 0.0))
        hashes.append(sha256)
        syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
    digest = hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
    source: dict[str, Fact] = {"format": "dicom", "num_files": len(ordered), "sha256": digest, **ordered[0].scanner}
    source |= {"transfer_syntax": syntax, "series_uid": ordered[0].series_uid}
    return Reading(Volume(np.stack(slices), grid.world_from_index), np.stack(padding), source=source)


def _find_padding(values: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    low = dataset.get("PixelPaddingValue")
    if not isinstance(low, int):
        return np.zeros(values.shape, dtype=bool)
    high = dataset.get("PixelPaddingRangeLimit", low)
    low, high = sorted((low, high if isinstance(high, int) else low))
    found: NDArray[np.bool_] = (values >= low) & (values <= high)
    return found


def _clear_unused_bits(values: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Keep BitsStored bits (PS3.5 8.1.1: the others may hold anything) and extend the sign."""
    unused = values.dtype.itemsize * 8 - int(dataset.BitsStored)
    if unused <= 0 or values.dtype.kind not in "iu":
        return values
    above = values.dtype.itemsize * 8 - 1 - int(dataset.HighBit)
    cleared: NDArray[Any] = (values << above) >> unused
    return cleared


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


def _make_flags(header: SliceHeader) -> list[str]:
    flags = []
    if header.scanner.get("contrast_agent"):
        flags.append("CONTRAST")
    if header.scanner.get("lossy"):
        flags.append("LOSSY")
    position = str(header.scanner.get("patient_position", ""))
    if position and not position.endswith("S"):  # HFP, FFDR, ...: not on the back
        flags.append("NOT_SUPINE")
    return flags
