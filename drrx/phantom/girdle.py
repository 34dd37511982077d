"""Shoulder girdle with raised arms: clavicles, scapulae, humeri."""

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.canvas import Canvas, Tubes
from drrx.phantom.physique import Physique
from drrx.phantom.ribs import smooth_path

# Left side, reference mm.
_CLAVICLE = np.array(
    [[15, -133, 66], [24, -131, 71], [36, -124, 78], [52, -109, 86], [68, -88, 93], [83, -62, 99], [98, -44, 103],
     [114, -38, 107]], float
)  # fmt: skip
_CLAVICLE_THICK = np.array([8.5, 7.5, 5.6, 5.2, 5.2, 5.2, 4.4, 4.0])
_CLAVICLE_WIDE = np.array([10.0, 9.0, 6.4, 6.0, 6.0, 7.0, 8.4, 8.0])
HUMERUS_HEAD = np.array([130.0, -60.0, 92.0])
# Medial and lateral border of the blade from the lower to the upper angle.
_MEDIAL = np.array([[113, -24, -62], [100, -2, -36], [84, 12, -6], [70, 18, 24], [60, 19, 50], [56, 10, 76]], float)
_LATERAL = np.array(
    [[117, -27, -62], [123, -33, -36], [125, -38, -6], [123, -43, 24], [119, -48, 52], [100, -40, 84]], float
)


def arm_path(physique: Physique) -> NDArray[np.float64]:
    """Return the left arm's bone axis ``(3, 3)`` from the humeral head upwards, reference mm."""
    tilt = np.radians(physique.arm_deg)
    along = np.array([np.sin(tilt), 0.18, np.cos(tilt)])
    return HUMERUS_HEAD + np.outer([0.0, 40.0, 260.0], along / np.linalg.norm(along))


def _mirror(points: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    return points * np.array([side, 1.0, 1.0])


def paint_girdle(canvas: Canvas, physique: Physique, rng: np.random.Generator) -> None:
    """Paint both clavicles, scapulae and humeri."""
    for side in (-1.0, 1.0):
        lift = np.array([0.0, 0.0, 3.0 * rng.standard_normal()])
        _paint_clavicle(canvas, physique, side, lift)
        _paint_scapula(canvas, physique, side, lift)
        _paint_humerus(canvas, physique, side, lift)


def _paint_clavicle(canvas: Canvas, physique: Physique, side: float, lift: NDArray[np.float64]) -> None:
    knots = np.column_stack([_mirror(_CLAVICLE, side), _CLAVICLE_THICK, _CLAVICLE_WIDE])
    path = smooth_path(knots, 3.0)
    rise = np.linspace(0.0, 1.0, len(path))[:, None] * lift
    world = physique.place(path[:, :3] + rise)
    tube = Tubes(world, path[:, 3], path[:, 4], np.broadcast_to([0.0, 0.25, 1.0], world.shape))
    canvas.paint_tubes([tube], shell_hu=1100 * physique.bone, core_hu=260 * physique.bone, shell_mm=1.4)


def _paint_scapula(canvas: Canvas, physique: Physique, side: float, lift: NDArray[np.float64]) -> None:
    levels = np.linspace(0.0, 1.0, 48)
    index = np.linspace(0.0, 1.0, len(_MEDIAL))
    medial, lateral = (
        np.stack([np.interp(levels, index, column) for column in border.T], axis=1) for border in (_MEDIAL, _LATERAL)
    )
    tubes = []
    for inner, outer in zip(medial, lateral, strict=True):
        part = np.linspace(0.0, 1.0, 9)[:, None]
        row = inner + part * (outer - inner)
        # The blade is hollow towards the ribs and thickest at its lateral border.
        row[:, 1] += 7.0 * np.sin(np.pi * part[:, 0])
        row = physique.place(_mirror(row, side) + lift)
        thick = np.interp(part[:, 0], [0, 0.1, 0.25, 0.75, 0.9, 1.0], [3.0, 1.8, 1.3, 1.6, 4.6, 5.8])
        across = np.array([side * 0.62, 0.78, 0.0])
        tubes.append(Tubes(row, thick, np.full(9, 4.5), np.broadcast_to(across, row.shape)))

    def place(points: list[list[float]]) -> NDArray[np.float64]:
        return physique.place(_mirror(np.array(points, float), side) + lift)

    ridge = smooth_path(
        place([[62, 18, 44], [80, 17, 56], [98, 7, 74], [111, -10, 93], [120, -28, 105], [116, -40, 106]]), 3.0
    )
    tall = np.linspace(2.5, 8.0, len(ridge))
    tubes.append(Tubes(ridge, np.linspace(1.8, 4.0, len(ridge)), tall, np.broadcast_to([0.0, 0.5, 0.9], ridge.shape)))
    neck = place([[108, -42, 58], [116, -50, 68], [119, -54, 78]])
    tubes.append(
        Tubes(neck, np.array([5.0, 8.0, 7.0]), np.array([12.0, 15.0, 15.0]), np.broadcast_to([0, 1.0, 0], neck.shape))
    )
    coracoid = smooth_path(place([[112, -54, 84], [108, -66, 94], [106, -80, 92], [110, -90, 86]]), 3.0)
    tubes.append(Tubes.round(coracoid, np.linspace(6.5, 4.6, len(coracoid))))
    canvas.paint_tubes(tubes, shell_hu=1000 * physique.bone, core_hu=260 * physique.bone, shell_mm=1.4)


def _paint_humerus(canvas: Canvas, physique: Physique, side: float, lift: NDArray[np.float64]) -> None:
    bone, grow = physique.bone, physique.size
    path = physique.place(_mirror(arm_path(physique), side) + lift)
    along = (path[2] - path[0]) / np.linalg.norm(path[2] - path[0])
    head = np.stack([path[0] - 3 * along, path[0] + 6 * along])
    neck = np.stack([path[0] + (6 + 15 * t) * along for t in (0.0, 1.0, 2.0)])
    shaft = np.stack([path[0] + 26 * along, path[2]])
    canvas.paint_tubes([Tubes.round(shaft, 11.0 * grow)], shell_hu=1350 * bone, core_hu=10, shell_mm=3.6)
    tubes = [Tubes.round(head, np.array([22.5, 22.0]) * grow), Tubes.round(neck, np.array([20.0, 15.0, 11.0]) * grow)]
    canvas.paint_tubes(tubes, shell_hu=700 * bone, core_hu=230 * bone, shell_mm=1.5)
