"""A picture for quality control: CT slices with the labels over them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from drrx.errors import DrrxError
from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume

WINDOW_HU = (-1000.0, 500.0)
OPACITY = 0.45
PIXEL_MM = 1.2
GAP_PX = 4
COLORS: dict[Label, tuple[int, int, int]] = {
    Label.BONE: (255, 240, 120), Label.MEDIASTINUM: (220, 60, 60), Label.AIRWAY: (0, 255, 255),
    Label.VESSEL_RIGHT: (255, 120, 200), Label.VESSEL_LEFT: (255, 120, 200), Label.LOBE_RIGHT_UPPER: (70, 160, 255),
    Label.LOBE_RIGHT_MIDDLE: (170, 110, 255), Label.LOBE_RIGHT_LOWER: (40, 90, 200),
    Label.LOBE_LEFT_UPPER: (90, 220, 120), Label.LOBE_LEFT_LOWER: (20, 140, 80),
}  # fmt: skip


def make_anatomy_figure(ct: Volume, anatomy: Anatomy) -> NDArray[np.uint8]:
    """Return coronal, sagittal and axial slices with coloured labels.

    Parameters
    ----------
    ct
        Canonical CT.
    anatomy
        Its labels, on the same grid.

    Returns
    -------
    NDArray
        uint8 RGB ``[row, column, 3]``. Top: two coronal slices (patient's right on the left), the right and the
        left lung from the side (front on the left). Bottom: four axial slices from apex to base, seen from the feet.
    """
    if ct.shape != anatomy.labels.shape:
        raise DrrxError(
            where="make_anatomy_figure", found=f"CT {ct.shape} and labels {anatomy.labels.shape}",
            needed="the same grid", hint="Segment this CT first.",
        )  # fmt: skip
    slices, rows, columns = (_find_levels(anatomy.lung, axis) for axis in range(3))
    slice_mm, row_mm, column_mm = ct.spacing_mm
    labels = anatomy.labels.values
    top = [_paint(ct.values[::-1, at(rows, q)], labels[::-1, at(rows, q)], slice_mm, column_mm) for q in (0.45, 0.7)]
    top += [
        _paint(ct.values[::-1, :, at(columns, q)], labels[::-1, :, at(columns, q)], slice_mm, row_mm)
        for q in (0.22, 0.78)
    ]
    levels = (0.9, 0.65, 0.4, 0.15)
    bottom = [_paint(ct.values[at(slices, q)], labels[at(slices, q)], row_mm, column_mm) for q in levels]
    return _write_legend(_stack([_stack(top, 1), _stack(bottom, 1)], 0), anatomy)


def _find_levels(lung: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    others = tuple(other for other in range(3) if other != axis)
    found = np.flatnonzero(lung.any(axis=others))
    return (int(found[0]), int(found[-1])) if found.size else (0, lung.shape[axis] - 1)


def at(ends: tuple[int, int], share: float) -> int:
    """Return the index at ``share`` of the way between two ends."""
    return round(ends[0] + share * (ends[1] - ends[0]))


def _paint(hu: NDArray[np.int16], labels: NDArray[np.uint8], row_mm: float, column_mm: float) -> NDArray[np.uint8]:
    size = (max(1, round(hu.shape[1] * column_mm / PIXEL_MM)), max(1, round(hu.shape[0] * row_mm / PIXEL_MM)))
    low, high = WINDOW_HU
    gray = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    picture = np.asarray(Image.fromarray(gray.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR))
    where = np.asarray(Image.fromarray(np.ascontiguousarray(labels)).resize(size, Image.Resampling.NEAREST))
    table = np.zeros((256, 3), dtype=np.float32)
    opacity = np.zeros(256, dtype=np.float32)
    for label, color in COLORS.items():
        table[label], opacity[label] = color, OPACITY
    share = opacity[where][..., None]
    rgb = picture[..., None] * (1 - share) + table[where] * share
    body = where != Label.OUTSIDE
    edge = body & ~(np.roll(body, 1, 0) & np.roll(body, -1, 0) & np.roll(body, 1, 1) & np.roll(body, -1, 1))
    rgb[edge] = (255, 150, 0)
    return rgb.astype(np.uint8)


def _stack(pictures: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Put pictures side by side (axis 1) or below each other (axis 0) on black."""
    other = 1 - axis
    length = max(picture.shape[other] for picture in pictures)
    padded = []
    for picture in pictures:
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[other] = (0, length - picture.shape[other])
        pad[axis] = (0, GAP_PX)
        padded.append(np.pad(picture, pad))
    return np.concatenate(padded, axis=axis)


def _write_legend(picture: NDArray[np.uint8], anatomy: Anatomy) -> NDArray[np.uint8]:
    words = [(label.name.lower().replace("_", " ").replace("lobe ", ""), color) for label, color in COLORS.items()]
    image = Image.fromarray(np.pad(picture, ((0, 34), (0, 0), (0, 0))))
    draw = ImageDraw.Draw(image)
    x, y = 6, picture.shape[0] + 2
    for word, color in [*words, ("skin", (255, 150, 0))]:
        if word == "vessel left":
            continue
        word = "vessel" if word == "vessel right" else word
        draw.text((x, y), word, fill=color)
        x += int(draw.textlength(word)) + 14
    qc = anatomy.qc
    keys = ("right_lung_litre", "left_lung_litre", "mean_lung_hu", "aerated_share", "blood_hu", "flags")
    text = "   ".join(f"{key.replace('_', ' ')} {qc[key] or '-'}" for key in keys if key in qc)
    draw.text((6, y + 15), text, fill=(230, 230, 230))
    return np.asarray(image)
