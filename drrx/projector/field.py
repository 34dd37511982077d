"""What a CT does not show of the detector's field: tissue beyond its sides and beyond its end slices."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq

from drrx.geometry import View
from drrx.projector.border import AIR_HU, Border
from drrx.projector.outline import MAX_ADDED_MM, find_outline
from drrx.projector.sides import SIDES, fill_sides
from drrx.volume import Volume

FADE_MM_PER_MM = 0.5  # sigma of the in-plane blur per mm beyond the scan: no sharp organ is continued for long
MAX_FADE_MM = 20.0
EDGE_MM = 8.0
MAX_END_MM = 200.0
END_PIXEL_MM = 3.0  # blurred slices need no finer lattice
BODY_STEP = 4  # voxels between those looked at for the extent of the body


@dataclass(frozen=True, eq=False)
class Completion:
    """Parts of the body that the CT does not hold: an estimate, not anatomy.

    Line integrals are linear, so the parts are projected alone and added; the CT is neither copied nor padded.

    Attributes
    ----------
    parts
        ``"left"``, ``"back"``, ``"right"``, ``"front"`` (the patient's), where the field of view cuts the body, and
        ``"below"``, ``"above"``: int16 HU, air where the CT shows the body; slices lie on those of the CT or continue
        them.
    added_below_mm, added_above_mm
        Lengths beyond the first and the last slice.
    truncated_share
        Share of the slices in which the field of view cuts the body.
    widest_mm
        Largest width added at a side.
    """

    parts: dict[str, Volume] = field(default_factory=dict)
    added_below_mm: float = 0.0
    added_above_mm: float = 0.0
    truncated_share: float = 0.0
    widest_mm: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what a record holds: everything but the parts."""
        return {
            "added_below_mm": round(self.added_below_mm, 3),
            "added_above_mm": round(self.added_above_mm, 3),
            "truncated_sides": [name for name in self.parts if name in SIDES],
            "truncated_share": round(self.truncated_share, 4),
            "widest_mm": round(self.widest_mm, 1),
        }


def complete_field(ct: Volume, body: NDArray[np.bool_], view: View) -> Completion:
    """Complete the body beyond the field of view, so that no cut edge shows in ``view``.

    Where the reconstruction circle or the grid cuts the body, its contour goes on smoothly and is filled with the
    tissue at the border, blurred; then the end slices are repeated as far as rays pass, blurred more the further out
    they lie. Nothing inside the field of view changes.

    Parameters
    ----------
    ct
        Canonical, int16 HU, with whatever lies around the body still in it.
    body
        bool, the shape of ``ct``: the patient without table.
    view
        Any view; one along the patient's long axis gets no longer scan.
    """
    border = Border.find(ct, body)
    outline = find_outline(ct, body, border)
    parts = dict(fill_sides(ct, body, border, outline)) if outline else {}
    sides = tuple(parts.values())
    below_mm, above_mm = _find_lengths_mm(ct, body, sides, view)
    for name, end, length_mm in (("below", 0, below_mm), ("above", ct.shape[0] - 1, above_mm)):
        if length_mm > 0:
            parts[name] = _continue_end(ct, body, sides, end, round(length_mm / ct.spacing_mm[0]))
    share = float(outline.is_cut.any(axis=1).mean()) if outline else 0.0
    widest_mm = float(outline.added_mm.max()) if outline else 0.0
    return Completion(parts, below_mm, above_mm, share, widest_mm)


def _find_lengths_mm(ct: Volume, body: NDArray[np.bool_], sides: tuple[Volume, ...], view: View) -> tuple[float, float]:
    """Return how far rays to the detector's corners leave the scan, in whole slices, while they may be in the body."""
    seen = body[::BODY_STEP, ::BODY_STEP, ::BODY_STEP].any(axis=0)
    if not seen.any():
        return 0.0, 0.0
    lows, highs = np.argwhere(seen).min(axis=0) - 1, np.argwhere(seen).max(axis=0) + 1
    box = [ct.to_world(np.array([0, *edge])) for edge in (lows * BODY_STEP, highs * BODY_STEP)]
    box += [side.to_world(index) for side in sides for index in (np.zeros(3), np.array(side.shape) - 1)]
    edges = np.stack(np.meshgrid(*np.array([np.min(box, axis=0), np.max(box, axis=0)])[:, :2].T), axis=-1).reshape(
        -1, 2
    )
    last = np.array(view.shape) - 1
    rays = view.pixel_world_mm(*np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * last[:, None]) - view.source_world_mm
    forward = rays.mean(axis=0)[:2]
    speed = rays[:, :2] @ forward
    if (speed <= 1e-3 * (rays**2).sum(axis=1)).any():
        return 0.0, 0.0
    depths = np.maximum((edges - view.source_world_mm[:2]) @ forward, 0)
    heights = view.source_world_mm[2] + rays[:, 2] / speed * depths[:, None]
    slice_mm = ct.spacing_mm[0]
    gaps = (
        ct.to_world(np.zeros(3))[2] - heights.min(),
        heights.max() - ct.to_world(np.array([ct.shape[0] - 1, 0, 0]))[2],
    )
    below, above = (float(np.ceil(min(max(gap, 0.0), MAX_END_MM) / slice_mm) * slice_mm) for gap in gaps)
    return below, above


def _continue_end(ct: Volume, body: NDArray[np.bool_], sides: tuple[Volume, ...], end: int, count: int) -> Volume:
    """Repeat slice ``end``, with what was added at its sides, ``count`` times outward on a coarser in-plane lattice."""
    factors = [max(1, round(END_PIXEL_MM / mm)) for mm in ct.spacing_mm[1:]]
    plane, first = _paint_slice(ct, body, sides, end)
    rows, columns = (next_fast_len(-(-size // factor)) for size, factor in zip(plane.shape[1:], factors, strict=True))
    rest = [(0, n * factor - size) for n, factor, size in zip((rows, columns), factors, plane.shape[1:], strict=True)]
    coarse = np.pad(plane, [(0, 0), *rest]).reshape(2, rows, factors[0], columns, factors[1]).mean(axis=(2, 4))
    steps = np.arange(-count, 0) if end == 0 else np.arange(1, count + 1)
    pixel_mm = [mm * factor for mm, factor in zip(ct.spacing_mm[1:], factors, strict=True)]
    values = _fade(coarse[0], coarse[1], np.abs(steps) * ct.spacing_mm[0], *pixel_mm)
    affine = ct.world_from_index @ np.diag([1.0, *factors, 1.0])
    offsets = [index + (factor - 1) / 2 for index, factor in zip(first, factors, strict=True)]
    affine[:3, 3] = ct.to_world(np.array([end + steps[0], *offsets]))
    return Volume(values, affine)


def _paint_slice(
    ct: Volume, body: NDArray[np.bool_], sides: tuple[Volume, ...], index: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Return one slice of body and sides, HU above air, and where it is; and the (row, column) it begins at."""
    room = [int(np.ceil(max(MAX_ADDED_MM, MAX_FADE_MM) / mm)) + 1 for mm in ct.spacing_mm[1:]]
    plane = np.zeros([2, *(size + 2 * more for size, more in zip(ct.shape[1:], room, strict=True))], np.float32)
    inside = plane[:, room[0] : room[0] + ct.shape[1], room[1] : room[1] + ct.shape[2]]
    inside[0] = np.where(body[index], ct.values[index] - np.float32(AIR_HU), np.float32(0))
    inside[1] = body[index]
    for side in sides:
        first = np.rint(ct.to_index(side.to_world(np.zeros(3)))).astype(int)
        if first[0] <= index < first[0] + side.shape[0]:
            row, column = first[1] + room[0], first[2] + room[1]
            part = plane[:, row : row + side.shape[1], column : column + side.shape[2]]
            part[0] += side.values[index - first[0]] - np.float32(AIR_HU)
            part[1] = np.maximum(part[1], side.values[index - first[0]] > AIR_HU)
    return plane, (-room[0], -room[1])


def _fade(
    plane: NDArray[np.float32], share: NDArray[np.float32], distances_mm: NDArray, row_mm: float, column_mm: float
) -> NDArray[np.int16]:
    """Return HU of ``plane`` (HU above air), blurred once per distance.

    A blur is a product in the frequency domain. ``share``, where the body is, is blurred alike and made steep again, so
    that the outline gets rounder but casts no halo wider than ``EDGE_MM``.
    """
    squared = fftfreq(plane.shape[0], row_mm)[:, None] ** 2 + rfftfreq(plane.shape[1], column_mm) ** 2
    sigmas_mm = np.minimum(FADE_MM_PER_MM * distances_mm, MAX_FADE_MM)
    gains = np.exp(-2 * np.pi**2 * (sigmas_mm**2)[:, None, None] * squared).astype(np.float32)
    blurred, weight = (irfft2(rfft2(image) * gains, s=plane.shape) for image in (plane, share))
    steepness = np.maximum(1, sigmas_mm * np.sqrt(2 * np.pi) / EDGE_MM).astype(np.float32)[:, None, None]
    edge = np.clip(0.5 + steepness * (weight - 0.5), 0, 1)
    return np.rint(edge * blurred / np.maximum(weight, 1e-3) + AIR_HU).astype(np.int16)
