"""Padding becomes air, and the numbers are proved to be Hounsfield units."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.errors import CaseRefused
from drrx.io.axes import match_axes
from drrx.io.reading import Reading
from drrx.io.settings import ReadCtSettings

AIR_HU = -1000
# Padding brighter than this may also be tissue: it counts as padding only where it touches the rim of a slice.
SURE_PADDING_HU = -900.0
MAX_NON_FINITE_SHARE = 1e-3
MIN_PEAK_SHARE = 0.005
OFFSETS_HU = (1000, 1024, -1000, -1024)
MAX_SAMPLES = 2_000_000
MAX_SLICES = 32
TISSUE_HU = -400
TRUNCATED_SHARE = 0.05


def fill_padding(reading: Reading, where: str, settings: ReadCtSettings) -> Reading:
    """Return the reading as int16 HU with padding set to air; what was done is noted in it.

    ``add_hu`` is added first. Padding is what the file says (PixelPaddingValue), every voxel below
    ``padding_below_hu``, and a constant background: one value in all four corners of all slices, as far as it touches
    the rim of its slice. Slices are the axial ones, in whichever order the file has its axes.

    Raises
    ------
    CaseRefused
        ``NON_FINITE``, ``NOT_HU``, ``HU_OFFSET``.
    """
    order = match_axes(reading.volume.world_from_index)
    values = _add_offset(_fill_non_finite(reading, where), reading, settings.add_hu).transpose(order)
    named = None if reading.padding is None else reading.padding.transpose(order)
    padding = _find_padding(values, named, settings)
    padding |= values < settings.padding_below_hu
    samples, is_padding = values[_thin(values)], padding[_thin(values)]
    check_hu(samples[~is_padding], samples[is_padding], where)
    share = float(padding.mean())
    if padding.any() and not (values[padding] == AIR_HU).all():
        low, high = values[padding].min(), values[padding].max()
        reading.correct("PADDING_FILLED", f"{100 * share:.2f} % of voxels ({low:g} to {high:g} HU) set to {AIR_HU} HU")
    bright = int((values > settings.max_hu).sum())
    if bright:
        reading.flags.append("METAL")
        reading.correct("METAL_CUT", f"{bright} voxels (up to {values.max():g} HU) cut to {settings.max_hu} HU")
    if _measure_truncation(_pick_slices(values), _pick_slices(padding)) > TRUNCATED_SHARE:
        reading.flags.append("TRUNCATED_FOV")
    if values.dtype != np.int16:
        values = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    elif not values.flags.writeable or np.shares_memory(values, reading.volume.values):
        values = values.copy()
    values[padding] = AIR_HU
    np.minimum(values, settings.max_hu, out=values)
    reading.source["padding_share"] = round(share, 5)
    reading.volume, reading.padding = reading.volume.with_values(values.transpose(np.argsort(order))), None
    return reading


def _fill_non_finite(reading: Reading, where: str) -> NDArray[Any]:
    values = reading.volume.values
    if values.dtype.kind != "f":
        return values
    odd = ~np.isfinite(values)
    share = float(odd.mean())
    if share > MAX_NON_FINITE_SHARE:
        raise CaseRefused(
            "NON_FINITE", where=where, found=f"{100 * share:.2f} % of voxels NaN or infinite",
            needed=f"at most {100 * MAX_NON_FINITE_SHARE:g} %", hint="Export the CT again as integers in HU.",
        )  # fmt: skip
    if share:
        reading.correct("NON_FINITE_FILLED", f"{int(odd.sum())} voxels (NaN or infinite) set to {AIR_HU} HU")
        values = np.where(odd, np.float32(AIR_HU), values)
    return values


def _add_offset(values: NDArray[Any], reading: Reading, offset_hu: float) -> NDArray[Any]:
    if offset_hu == 0:
        return values
    reading.correct("HU_SHIFTED", f"{offset_hu:+g} HU added to all voxels (read_ct.add_hu)")
    return values.astype(np.float32) + np.float32(offset_hu)


def _thin(values: NDArray[Any]) -> tuple[slice, ...]:
    step = max(1, round((values.size / MAX_SAMPLES) ** (1 / 3)))
    return (slice(None, None, step),) * 3


def _pick_slices(values: NDArray[Any]) -> NDArray[Any]:
    """Return some whole slices."""
    return values[:: max(1, len(values) // MAX_SLICES)]


def _measure_truncation(values: NDArray[Any], padding: NDArray[np.bool_]) -> float:
    """Return which share of the rim of the scanned field (the padding's edge, or that of the image) is tissue."""
    outside = np.pad(padding, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    beside = outside[:, :-2, 1:-1] | outside[:, 2:, 1:-1] | outside[:, 1:-1, :-2] | outside[:, 1:-1, 2:]
    rim = beside & ~padding
    return float((values[rim] > TISSUE_HU).mean()) if rim.any() else 0.0


def _find_padding(values: NDArray[Any], named: NDArray[np.bool_] | None, settings: ReadCtSettings) -> NDArray[np.bool_]:
    padding = np.zeros(values.shape, dtype=bool)
    if named is not None and named.any():
        sure = named & (values < SURE_PADDING_HU)
        padding |= sure
        if (named & ~sure).any():
            padding |= touch_rim(named & ~sure)
    corners = values[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    if (corners == corners[0, 0]).all() and corners[0, 0] >= settings.padding_below_hu:
        padding |= touch_rim(values == corners[0, 0])
    return padding


def touch_rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of ``mask`` that touch the rim of their slice (4-connected within a slice)."""
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(mask, structure)
    keep = np.zeros(count + 1, dtype=bool)
    for rim in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        keep[rim] = True
    keep[0] = False
    found: NDArray[np.bool_] = keep[labels]
    return found


def check_hu(samples: NDArray[Any], padding: NDArray[Any], where: str) -> None:
    """Refuse numbers that cannot be HU: there must be air or lung near -1000 and soft tissue near 0.

    Parameters
    ----------
    samples
        Values inside the scanned field.
    padding
        Values that look like padding. A constant air outside (clipped or synthetic) may be the only air there is, so
        they count last, after known offsets were looked for.
    where
        Name for the message.

    Raises
    ------
    CaseRefused
        ``HU_OFFSET`` when both are found at the same known offset, ``NOT_HU`` otherwise.
    """
    if samples.size and _score(samples, 0) >= MIN_PEAK_SHARE:
        return
    found = [offset for offset in OFFSETS_HU if samples.size and _score(samples, offset) >= MIN_PEAK_SHARE]
    everything = np.concatenate([samples, padding])
    low, high = float(everything.min()), float(everything.max())
    if found:
        best = min(found, key=lambda offset: abs(_air_peak(samples, offset) - AIR_HU - offset))
        raise CaseRefused(
            "HU_OFFSET", where=where, found=f"air near {AIR_HU + best} and soft tissue near {best}",
            needed="air near -1000 and soft tissue near 0 HU",
            hint=f"A lost rescale intercept? Set read_ct.add_hu to {-best} for such CTs, or export them again.",
        )  # fmt: skip
    if _score(everything, 0) >= MIN_PEAK_SHARE:
        return
    raise CaseRefused(
        "NOT_HU", where=where, found=f"values from {low:g} to {high:g} without the peaks of air and soft tissue",
        needed="a CT of the chest in Hounsfield units (air near -1000, soft tissue near 0)",
        hint="Use the original CT, not a scaled picture of it, and check that the body is in the image.",
    )  # fmt: skip


def _air_peak(samples: NDArray[Any], offset: int) -> float:
    return float(np.median(samples[(samples >= -1100 + offset) & (samples <= -900 + offset)]))


def _score(samples: NDArray[Any], offset: int) -> float:
    air = (samples >= -1100 + offset) & (samples <= -800 + offset)
    tissue = (samples >= -150 + offset) & (samples <= 150 + offset)
    return float(min(air.mean(), tissue.mean()))
