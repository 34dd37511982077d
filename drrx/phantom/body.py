"""The outline of the body, its muscles and breasts, and the table it lies on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.canvas import Canvas
from drrx.phantom.field import FieldGrid, loft, smooth_max, smooth_min
from drrx.phantom.girdle import HUMERUS_HEAD, arm_path
from drrx.phantom.physique import Physique

# z, half width, y of the front, y of the back of the muscled torso and neck without fat, reference mm.
_TORSO_MM = np.array(
    [
        [260, 50, -150, -40], [165, 52, -134, -42], [150, 54, -130, -40], [136, 64, -128, -30], [122, 92, -127, -14],
        [108, 123, -128, 2], [92, 140, -134, 16], [76, 147, -142, 26], [58, 151, -152, 34], [35, 151, -163, 40],
        [10, 146, -171, 43], [-20, 140, -176, 43], [-55, 136, -180, 40], [-90, 133, -181, 34], [-130, 131, -178, 25],
        [-170, 129, -172, 14], [-220, 127, -165, 5], [-290, 127, -160, 0],
    ],
    float,
)  # fmt: skip

TABLE_HU = -80.0


@dataclass(frozen=True, eq=False)
class Body:
    """Distances in mm on the field grid."""

    skin: NDArray[np.float32]
    muscle: NDArray[np.float32]
    gland: NDArray[np.float32]


def shape_body(grid: FieldGrid, physique: Physique, cage: NDArray[np.float32]) -> Body:
    """Shape skin, muscle and breast tissue around a given cage."""
    x, y, z = physique.to_reference(*grid.axes())
    table = _TORSO_MM.copy()
    grown = 12.0 * (physique.muscle - 1.0)
    table[:, 1] += grown + physique.base_width * 16.0 * np.clip(-table[:, 0] / 110.0, 0.0, 1.0)
    lean = grid.to_distance(loft(x, y, z, table, exponents=(2.7, 2.6), widest=0.52))
    # The wall over the ribs is nowhere thinner than this.
    below = 30.0 * np.clip((z - 30.0) / 40.0, 0.0, 1.0)
    lean = smooth_min(lean, cage - (15.0 - below), 10.0)
    flank = np.clip((-z - 20.0) / 120.0, 0.0, 1.0)
    fat = physique.fat_mm * (0.55 + 0.55 * flank + 0.35 * flank * np.clip((-y - 60.0) / 70.0, 0.0, 1.0))
    skin = (lean - fat).astype(np.float32)
    arms_muscle, arms_skin = _shape_arms(grid, physique)
    skin = smooth_min(skin, arms_skin, 26.0)
    breasts, gland = _shape_breasts(grid, physique)
    skin = smooth_min(skin, breasts, 22.0).astype(np.float32)
    muscle = _shape_muscle(grid, physique, lean, cage, arms_muscle)
    return Body(skin, smooth_max(muscle, skin + 3.0, 2.0).astype(np.float32), gland)


def _shape_arms(grid: FieldGrid, physique: Physique) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    muscle, size = grid.empty(), physique.size
    for side in (-1.0, 1.0):
        mirror = np.array([side, 1.0, 1.0])
        arm = physique.place(arm_path(physique) * mirror)
        # Deltoid round the humeral head, then the upper arm.
        head = physique.place((HUMERUS_HEAD + np.array([2.0, 4.0, 6.0])) * mirror)
        radii = np.array([34.0, 40.0, 42.0]) * size * physique.muscle
        grid.add_ellipsoid(muscle, head.tolist(), radii.tolist(), blend_mm=20.0, reach_mm=65.0)
        grid.add_chain(muscle, arm, np.array([34.0, 34.0, 29.0]) * size * physique.muscle, blend_mm=20.0, reach_mm=65.0)
    return muscle, muscle - np.float32(0.55 * physique.fat_mm + 2.0)


def _shape_muscle(
    grid: FieldGrid,
    physique: Physique,
    lean: NDArray[np.float32],
    cage: NDArray[np.float32],
    arms: NDArray[np.float32],
) -> NDArray[np.float32]:
    # Muscle fills the lean outline but for fat in the axilla, under the scapula and pectorals, and in the neck.
    pocket, size, place = grid.empty(), physique.size, physique.place
    for side in (-1.0, 1.0):
        for path, radii in (
            ([[92, -96, 66], [106, -92, 44], [116, -86, 20], [121, -80, -8]], (9, 15, 12, 5)),
            ([[84, -112, 60], [104, -118, 34], [112, -120, 6]], (4, 6, 4)),
            ([[40, -95, 96], [62, -84, 104], [84, -66, 112]], (7, 9, 6)),
            ([[30, -60, 122], [44, -48, 118], [62, -34, 112]], (8, 8, 5)),
        ):
            knots = place(np.array(path, float) * [side, 1.0, 1.0])
            grid.add_chain(pocket, knots, np.array(radii, float) * size, blend_mm=6.0)
    united = smooth_min(lean, arms, 14.0)
    return np.asarray(np.maximum(united, -pocket), np.float32)


def _shape_breasts(grid: FieldGrid, physique: Physique) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    breast, gland = grid.empty(), grid.empty()
    if physique.breast <= 0:
        return breast, gland
    grow = physique.breast * physique.size
    for side in (-1.0, 1.0):
        # Supine breasts flatten and slide to the side.
        center = physique.place(np.array([side * 70.0, -170.0, -52.0]))
        grid.add_ellipsoid(breast, center.tolist(), (np.array([58.0, 46.0, 57.0]) * grow).tolist())
        middle = center + np.array([side * 5.0, -16.0, -5.0]) * grow
        grid.add_ellipsoid(gland, middle.tolist(), (np.array([37.0, 22.0, 37.0]) * grow).tolist())
    return breast, np.maximum(gland, breast + 6.0).astype(np.float32)


def paint_table(canvas: Canvas, grid: FieldGrid, skin: NDArray[np.float32]) -> None:
    """Paint the shell of the table, a shallow trough just under the back, on every slice."""
    x, y, _ = grid.axes()
    touching = float(np.broadcast_to(y + 0.0009 * x**2, grid.shape)[skin < 0].max())
    low, high = np.zeros(3, np.int64), np.array(canvas.shape)
    across, along, _ = canvas.axes(low, high)
    trough = (along + 0.0009 * across**2)[0]
    gap = np.maximum(np.abs(trough - (touching + 5.0)) - 1.3, np.abs(across[0]) - 198.0)
    share = np.clip(0.5 - gap / canvas.edge_mm, 0.0, 1.0).astype(np.float32)
    canvas.hu[:] += share * (np.float32(TABLE_HU) - canvas.hu)
