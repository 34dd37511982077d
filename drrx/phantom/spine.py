"""The spine: vertebral bodies, discs, canal, arches and processes, C3 to L4."""

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.canvas import Canvas, Tubes
from drrx.phantom.physique import VERTEBRA_NAMES, VERTEBRA_Y_MM, VERTEBRA_Z_MM, Physique
from drrx.records.anatomy import Label

# Half width and half depth of the vertebral body, half width over the transverse processes, reach of the spinous
# process to the back, its drop; reference mm by level.
_KNOTS = ("C3", "C7", "T1", "T4", "T8", "T12", "L4")
_SIZES = np.array(
    [
        [9.5, 8, 26, 30, 4], [12.5, 8.5, 33, 40, 12], [14.5, 9, 36, 40, 16], [13, 11, 30, 37, 26],
        [14, 13.5, 29, 36, 30], [19, 15.5, 26, 42, 16], [23.5, 17.5, 40, 52, 12],
    ],
    float,
)  # fmt: skip


def body_sizes() -> NDArray[np.float64]:
    """Return ``(levels, 5)``: sizes of every vertebra in ``VERTEBRA_NAMES`` (columns as in ``_SIZES``), mm."""
    levels = np.array([VERTEBRA_NAMES.index(name) for name in _KNOTS], float)
    every = np.arange(len(VERTEBRA_NAMES), dtype=float)
    return np.stack([np.interp(every, levels, column) for column in _SIZES.T], axis=1)


def spine_centers(physique: Physique) -> NDArray[np.float64]:
    """Return world centres ``(levels, 3)`` of the vertebral bodies in mm."""
    return physique.place(np.stack([np.zeros(len(VERTEBRA_Z_MM)), VERTEBRA_Y_MM, VERTEBRA_Z_MM], axis=1))


def paint_spine(canvas: Canvas, physique: Physique, rng: np.random.Generator) -> None:
    """Paint all vertebrae and the discs between them."""
    centers, sizes = spine_centers(physique), body_sizes()
    up = np.gradient(centers, axis=0)
    up *= np.sign(up[:, 2:3]) / np.linalg.norm(up, axis=1, keepdims=True)
    grow = physique.size
    for n in range(len(centers)):
        neighbours = [np.linalg.norm(centers[n] - centers[m]) for m in (n - 1, n + 1) if 0 <= m < len(centers)]
        pitch = float(np.mean(neighbours))
        jitter = 1.0 + 0.03 * rng.standard_normal()
        disc_mm = np.interp(n, [0, 5, 10, 16, 20], [4.5, 4.0, 4.2, 6.5, 9.5])
        _paint_body(canvas, physique, centers[n], up[n], sizes[n] * grow * jitter, pitch, disc_mm)
        _paint_arch(canvas, physique, centers[n], up[n], sizes[n] * grow, pitch)


def _frame(up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    back = np.array([0.0, 1.0, 0.0]) - up[1] * up
    back /= np.linalg.norm(back)
    return np.cross(back, up), back


def _paint_body(
    canvas: Canvas,
    physique: Physique,
    center: NDArray[np.float64],
    up: NDArray[np.float64],
    size: NDArray[np.float64],
    pitch_mm: float,
    disc_mm: float,
) -> None:
    reach = size[0] + pitch_mm / 2 + 4.0
    low, high = canvas.box(center - reach, center + reach)
    if (high <= low).any():
        return
    x, y, z = (axis - c for axis, c in zip(canvas.axes(low, high), center, strict=True))
    left, back = _frame(up)
    u, v, w = (x * e[0] + y * e[1] + z * e[2] for e in (left, back, up))
    half = (pitch_mm - disc_mm) / 2
    # Waisted between the end plates, flat at the canal.
    waist = 1.0 - 0.13 * np.clip(1.0 - (w / half) ** 2, 0.0, 1.0)
    deep = np.where(v > 0, size[1] * 0.88, size[1])
    ring = ((np.abs(u) / (size[0] * waist)) ** 2.4 + (np.abs(v) / (deep * waist)) ** 2.4) ** (1 / 2.4)
    radius = (size[0] + size[1]) / 2 * waist
    around = (ring - 1.0) * radius
    disc = np.maximum(around + 1.5, np.abs(w) - pitch_mm / 2)
    canvas.paint_gap(disc, low, shell_hu=85, core_hu=75, shell_mm=2.0, label=Label.BODY)
    gap = np.maximum(around, np.abs(w) - half)
    bone = physique.bone
    canvas.paint_gap(gap, low, shell_hu=620 * bone, core_hu=190 * bone, shell_mm=0.9)


def _paint_arch(
    canvas: Canvas,
    physique: Physique,
    center: NDArray[np.float64],
    up: NDArray[np.float64],
    size: NDArray[np.float64],
    pitch_mm: float,
) -> None:
    left, back = _frame(up)
    wide, deep, across, reach, drop = size

    def at(u: float, v: float, w: float) -> NDArray[np.float64]:
        return center + u * left + (deep * 0.88 + v) * back + w * up

    canal = at(0.0, 8.0, 0.0)
    low, high = canvas.box(canal - pitch_mm, canal + pitch_mm)
    if (high > low).all():
        x, y, z = (axis - c for axis, c in zip(canvas.axes(low, high), canal, strict=True))
        u, v, w = (x * e[0] + y * e[1] + z * e[2] for e in (left, back, up))
        gap = np.maximum(np.sqrt(u**2 + v**2) - 8.0, np.abs(w) - pitch_mm / 2)
        canvas.paint_gap(gap, low, shell_hu=15, core_hu=35, shell_mm=2.5, label=Label.BODY)
    tubes: list[Tubes] = []
    for side in (-1.0, 1.0):
        pedicle = np.stack([at(side * wide * 0.62, -3, pitch_mm * 0.16), at(side * 11.5, 8, pitch_mm * 0.14)])
        lamina = np.stack([at(side * 11.5, 8, pitch_mm * 0.1), at(side * 8, 14, -1), at(0, 19, -pitch_mm * 0.2)])
        process = np.stack([at(side * 11, 10, 3), at(side * (across - 8), 17, 4), at(side * across, 20, 5)])
        facet = np.stack([at(side * 13, 11, pitch_mm * 0.42), at(side * 12.5, 13, -pitch_mm * 0.45)])
        axes = np.broadcast_to(left, (3, 3))
        tubes += [
            Tubes(pedicle, np.array([3.4, 3.4]), np.array([5.0, 5.0]), axes[:2]),
            Tubes(lamina, np.array([3.2, 3.2, 3.2]), np.array([pitch_mm * 0.27] * 3), np.broadcast_to(back, (3, 3))),
            Tubes.round(process, np.array([3.6, 3.0, 3.6])),
            Tubes(facet, np.array([3.0, 3.0]), np.array([5.2, 5.2]), np.broadcast_to(back, (2, 3))),
        ]
    spinous = np.stack([at(0, 18, -2), at(0, 18 + (reach - 18) * 0.55, -drop * 0.55), at(0, reach - 6, -drop)])
    tubes.append(Tubes(spinous, np.array([2.4, 1.9, 3.0]), np.array([5.5, 4.5, 4.0]), np.broadcast_to(left, (3, 3))))
    bone = physique.bone
    canvas.paint_tubes(tubes, shell_hu=560 * bone, core_hu=210 * bone, shell_mm=0.9)
