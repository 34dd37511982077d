"""Ribs, costal cartilage and sternum."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from drrx.phantom.cage import RIB_TABLE, rib_height, wall_point
from drrx.phantom.canvas import Canvas, Tubes
from drrx.phantom.physique import VERTEBRA_NAMES, VERTEBRA_Y_MM, VERTEBRA_Z_MM, Physique

# Half width, y of the front face and thickness of the sternum by reference z.
_STERNUM = np.array(
    [
        [70, 21, -136, 11], [64, 27, -139, 12], [54, 24, -144, 11], [42, 14, -150, 9], [34, 13, -154, 9],
        [10, 15, -160, 9], [-15, 17, -165, 9], [-38, 18, -169, 8], [-52, 13, -171, 7], [-64, 7, -171, 5],
        [-76, 4, -170, 4],
    ],
    float,
)  # fmt: skip


def smooth_path(knots: NDArray[np.float64], step_mm: float) -> NDArray[np.float64]:
    """Return points about ``step_mm`` apart on a cubic spline through ``knots`` ``(n, d)``: x, y, z, anything."""
    chord = np.linalg.norm(np.diff(knots[:, :3], axis=0), axis=1)
    place = np.concatenate([[0.0], np.cumsum(chord)])
    spline = make_interp_spline(place, knots, k=min(3, len(knots) - 1))
    return np.asarray(spline(np.linspace(0.0, place[-1], max(int(place[-1] / step_mm), 2))))


def rib_path(physique: Physique, rib: int, side: float, sag_mm: float = 0.0) -> NDArray[np.float64]:
    """Return the centre line ``(n, 3)`` of a rib from head to front end, reference mm.

    ``side`` is +1 on the left; ``sag_mm`` lowers the front end.
    """
    level = VERTEBRA_NAMES.index("T1") + rib
    body_z, body_y = VERTEBRA_Z_MM[level], VERTEBRA_Y_MM[level]
    angles = np.arange(24.0, RIB_TABLE[rib, 3] + 0.1, 6.0)
    start = 36.0 if rib == 0 else (30.0 if rib == 1 else 24.0)
    angles = angles[angles >= start]
    height = rib_height(physique, rib, angles) - sag_mm * (angles - angles[0]) / 110.0
    wall = wall_point(physique, angles, height, side, 5.0)
    lift = 7.0 if rib < 10 else 2.0
    head = np.array([side * 17.0, body_y + 9.0, body_z + lift])
    tubercle = np.array([side * 30.0, body_y + 22.0, (body_z + lift + wall[0, 2]) / 2 + 1.0])
    if rib < 2:
        wall = wall[np.abs(wall[:, 0]) > 36.0]
    return smooth_path(np.concatenate([[head, tubercle], wall]), 4.0)


def paint_ribs(canvas: Canvas, physique: Physique, rng: np.random.Generator) -> None:
    """Paint twelve pairs of ribs and their cartilage."""
    for rib in range(12):
        for side in (-1.0, 1.0):
            path = rib_path(physique, rib, side, 2.0 * rng.standard_normal())
            world = physique.place(path)
            _paint_cartilage(canvas, physique, rib, side, path, rng)
            part = np.linspace(0.0, 1.0, len(world))
            scale = physique.size**0.5 * (1.0 + 0.05 * rng.standard_normal()) * (0.86 if rib in (0, 11) else 1.0)
            # Rounder at the back, flat and broad at the front.
            thick = scale * np.interp(part, [0, 0.1, 0.22, 0.45, 0.8, 1], [3.6, 3.6, 4.0, 3.0, 3.0, 3.1])
            wide = scale * np.interp(part, [0, 0.08, 0.2, 0.5, 0.9, 1], [4.2, 4.0, 6.2, 5.8, 6.7, 7.4])
            tube = Tubes(world, thick, wide, _rib_axes(path, rib, side))
            canvas.paint_tubes([tube], shell_hu=1220 * physique.bone, core_hu=340 * physique.bone, shell_mm=1.0)


def _rib_axes(path: NDArray[np.float64], rib: int, side: float) -> NDArray[np.float64]:
    # The flat face looks outwards; the first ribs turn it up towards the head.
    outwards = path - np.array([side * 10.0, -75.0, 0.0])
    outwards[:, 2] = 0.0
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    turn = np.radians((62.0, 35.0, 18.0, 10.0)[rib] if rib < 4 else 4.0)
    return np.cos(turn) * outwards + np.sin(turn) * np.array([0.0, 0.0, 1.0])


def _paint_cartilage(
    canvas: Canvas, physique: Physique, rib: int, side: float, path: NDArray[np.float64], rng: np.random.Generator
) -> None:
    if rib > 9:
        return
    end, inward = path[-1], path[-1] - path[-4]
    inward /= np.linalg.norm(inward)
    goal_z = (58.0, 42.0, 24.0, 6.0, -12.0, -28.0, -38.0, -60.0, -84.0, -112.0)[rib]
    goal_x = 17.0 if rib < 7 else (42.0, 62.0, 84.0)[rib - 7]
    goal = np.array([side * goal_x, np.interp(goal_z, _STERNUM[::-1, 0], _STERNUM[::-1, 2]) + 6.0, goal_z])
    if rib >= 7:
        goal[1] += 0.25 * (goal_x - 30.0)
    reach = np.linalg.norm(goal - end)
    bend = end + inward * 0.38 * reach
    knots = smooth_path(np.stack([end, bend, 0.45 * bend + 0.55 * goal + [0, -2.0, 0], goal]), 4.0)
    world = physique.place(knots)
    width = np.linspace(6.6, 6.0, len(world)) * physique.size**0.5
    calcified = max(0.0, (physique.age - 45.0) / 35.0) * rng.random()
    canvas.paint_tubes(
        [Tubes(world, 0.6 * width, width, np.broadcast_to([0.0, -1.0, 0.2], world.shape))],
        shell_hu=100 + 260 * calcified, core_hu=90 + 60 * calcified, shell_mm=1.2,
    )  # fmt: skip


def paint_sternum(canvas: Canvas, physique: Physique) -> None:
    """Paint manubrium, body and xiphoid of the sternum."""
    rows = smooth_path(_STERNUM[:, [0, 1, 2, 3]][:, [1, 2, 0, 3]], 3.0)
    world = physique.place(np.stack([np.zeros(len(rows)), rows[:, 1] + rows[:, 3] / 2, rows[:, 2]], axis=1))
    tube = Tubes(
        world, rows[:, 3] / 2 * physique.scale_y, rows[:, 0] * physique.scale_x,
        np.broadcast_to([0.0, 1.0, 0.0], world.shape),
    )  # fmt: skip
    canvas.paint_tubes([tube], shell_hu=560 * physique.bone, core_hu=120 * physique.bone, shell_mm=1.0)
