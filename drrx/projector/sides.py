"""Tissue beyond the border of the field of view."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.projector.border import AIR_HU, Border
from drrx.projector.outline import RIM_MM, RIM_VOXELS, Outline, make_angles, sample_polar
from drrx.volume import Volume

NUM_ANGLES = 1440
SOFT_HU = (-100.0, 60.0)  # fat to muscle: what tissue turns into, away from the border
SHARP_MM = 6.0  # what lies at the border fades with this length
BLUR_MM = 20.0
SIDES = ("left", "back", "right", "front")  # the patient's; quarters around +column, +row, -column, -row


@dataclass(frozen=True, eq=False)
class Ring:
    """Pixels of a slice near the border and beyond it, one after the other.

    Attributes
    ----------
    rows, columns
        Index on the lattice of the CT; outside its grid too.
    angle
        Which of ``NUM_ANGLES``.
    beyond_mm
        float32, distance from the border, outward.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    angle: NDArray[np.intp]
    beyond_mm: NDArray[np.float32]

    @classmethod
    def around(cls, ct: Volume, border: Border, widest_mm: NDArray) -> "Ring":
        """Take the pixels from ``RIM_MM`` inside the border to ``widest_mm`` beyond it, one width per angle."""
        spacing_mm, most_mm = ct.spacing_mm[1:], max(float(widest_mm.max()), 0.0)
        lines = [
            np.arange(-np.ceil(most_mm / mm), size + np.ceil(most_mm / mm), dtype=np.intp)
            for mm, size in zip(spacing_mm, ct.shape[1:], strict=True)
        ]
        away = [line * mm - at for line, mm, at in zip(lines, spacing_mm, border.center_mm, strict=True)]
        radius = border.radius_mm(*make_angles(NUM_ANGLES)).astype(np.float32)
        squared = (away[0] ** 2).astype(np.float32)[:, None] + (away[1] ** 2).astype(np.float32)
        rows, columns = np.nonzero(
            (squared > (radius.min() - RIM_MM) ** 2) & (squared < (radius.max() + most_mm + border.voxel_mm) ** 2)
        )
        turn = np.arctan2(away[0][rows], away[1][columns]) * (NUM_ANGLES / (2 * np.pi))
        angle = np.rint(turn).astype(np.intp) % NUM_ANGLES
        beyond = np.sqrt(squared[rows, columns]) - radius[angle]
        ring = cls(lines[0][rows], lines[1][columns], angle, beyond)
        return ring.pick((beyond > -RIM_MM) & (beyond < (widest_mm + border.voxel_mm)[angle]))

    def pick(self, chosen: NDArray) -> "Ring":
        """Return some of the pixels."""
        return Ring(self.rows[chosen], self.columns[chosen], self.angle[chosen], self.beyond_mm[chosen])


def fill_sides(ct: Volume, body: NDArray[np.bool_], border: Border, outline: Outline) -> Iterator[tuple[str, Volume]]:
    """Fill the outline beyond the border, one side after the other.

    What lies at the border goes on outward, fading into its own blurred soft tissue. Measured tissue at the very border
    that the body mask left out comes along; every other voxel of the field of view is air.

    Yields
    ------
    Name of the side (the patient's) and an int16 volume on the lattice of ``ct``, continued, in which every voxel of
    ``body`` is air: its line integrals add to those of the body.
    """
    added_mm = outline.at(ct.shape[0], NUM_ANGLES)
    is_used = added_mm >= 0
    ring = Ring.around(ct, border, np.where(is_used, added_mm, -np.inf).max(axis=0))
    tissue = _sample_tissue(ct, border, is_used)
    quarters = (ring.angle + NUM_ANGLES // 8) // (NUM_ANGLES // 4) % 4
    for quarter, side in enumerate(SIDES):
        part = ring.pick(quarters == quarter)
        if part.angle.size:
            yield side, _fill_ring(ct, body, part, added_mm, tissue, border.voxel_mm)


def _sample_tissue(
    ct: Volume, border: Border, is_used: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return HU at the border, float32 ``[slice, angle]``, and of the soft tissue it turns into."""
    depths = RIM_VOXELS * border.voxel_mm
    sharp = np.zeros(is_used.shape, np.float32)
    slices = np.flatnonzero(is_used.any(axis=1))
    hu = sample_polar(ct.values, slices, border, ct.spacing_mm, NUM_ANGLES, depths)
    sharp[slices] = hu.mean(axis=-1, dtype=np.float32)
    arc_mm = 2 * np.pi * float(border.radius_mm(*make_angles(NUM_ANGLES)).mean()) / NUM_ANGLES
    blurred = [
        ndimage.gaussian_filter(
            values, (BLUR_MM / ct.spacing_mm[0], BLUR_MM / arc_mm), mode=("nearest", "wrap"), truncate=2.0
        )
        for values in (np.where(is_used, np.clip(sharp, *SOFT_HU), 0), is_used.astype(np.float32))
    ]
    return sharp, blurred[0] / np.maximum(blurred[1], 1e-6)


def _fill_ring(
    ct: Volume, body: NDArray[np.bool_], ring: Ring, added_mm: NDArray[np.float32],
    tissue: tuple[NDArray[np.float32], NDArray[np.float32]], voxel_mm: float,
) -> Volume:  # fmt: skip
    """Write one box; the contour is soft over one voxel, like skin."""
    used = np.flatnonzero((added_mm[:, np.unique(ring.angle)] >= 0).any(axis=1))
    first = int(used[0]), int(ring.rows.min()), int(ring.columns.min())
    shape = int(used[-1]) - first[0] + 1, int(ring.rows.max()) - first[1] + 1, int(ring.columns.max()) - first[2] + 1
    values = np.full(shape, AIR_HU, np.int16)
    place = (ring.rows - first[1]) * shape[2] + ring.columns - first[2]
    in_grid = (ring.rows >= 0) & (ring.rows < ct.shape[1]) & (ring.columns >= 0) & (ring.columns < ct.shape[2])
    seen = np.flatnonzero(in_grid & (ring.beyond_mm < voxel_mm))
    source = ring.rows[seen] * ct.shape[2] + ring.columns[seen]
    sharpness = np.exp(-np.maximum(ring.beyond_mm, 0) / np.float32(SHARP_MM))
    for index in used:
        added, sharp, soft = (table[index].take(ring.angle) for table in (added_mm, *tissue))
        share = np.clip((added - ring.beyond_mm) / np.float32(voxel_mm) + np.float32(0.5), 0, 1)
        share[added < 0] = 0
        fill = soft + sharpness * (sharp - soft)
        measured = ct.values[index].ravel()[source]
        fill[seen] = np.where(measured == AIR_HU, fill[seen], measured)
        share[seen[body[index].ravel()[source] & (measured != AIR_HU)]] = 0
        values[index - first[0]].ravel()[place] = AIR_HU + share * (fill - AIR_HU)
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(np.array(first))
    return Volume(values, affine)
