"""The chest cage: the surface under the ribs, and the diaphragm. All in reference coordinates (see ``physique``)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.field import FieldGrid, loft, smooth_max
from drrx.phantom.physique import Physique

# z, half width, y of the front, y of the back of the parietal pleura in mm.
CAGE_TABLE_MM = np.array(
    [
        [118, 30, -58, -48], [104, 46, -66, -44], [92, 60, -77, -36], [81, 70, -90, -25], [65, 84, -115, -8],
        [47, 96, -134, 3], [27, 103, -146, 10], [2, 107, -152, 16], [-25, 109, -157, 18], [-53, 111, -161, 18],
        [-90, 113, -165, 14], [-131, 113, -166, 5], [-165, 112, -164, -5], [-210, 110, -158, -16],
        [-280, 108, -150, -24],
    ],
    float,
)  # fmt: skip
CAGE_EXPONENTS = (2.2, 2.65)
APEX_MM = 101.0


def cage_table(physique: Physique) -> NDArray[np.float64]:
    """Return the cage table of a physique: the base flares with ``base_width``."""
    table = CAGE_TABLE_MM.copy()
    table[:, 1] += physique.base_width * 16.0 * np.clip((-table[:, 0]) / 110.0, 0.0, 1.0)
    return table


def cage_level(
    physique: Physique, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any], grow_mm: float = 0.0
) -> NDArray[Any]:
    """Return the implicit function of the cage, 0 on the pleura, at reference coordinates in mm."""
    return loft(x, y, z, cage_table(physique), exponents=CAGE_EXPONENTS, grow_mm=grow_mm)


def shape_cage(grid: FieldGrid, physique: Physique) -> NDArray[np.float32]:
    """Return the distance to the parietal pleura without the diaphragm, in mm."""
    x, y, z = physique.to_reference(*grid.axes())
    wall = grid.to_distance(cage_level(physique, x, y, z))
    # Each apex is a dome of its own, highest 46 mm beside the midline and falling to the front along the first rib.
    across = np.maximum((np.abs(x) - 40.0) / 9.0, -2.2)
    ceiling = APEX_MM - across**2 * np.where(across < 0, 2.4, 0.8) - np.maximum(-(y + 52.0), 0.0) ** 2 / 170.0
    roof = grid.to_distance(z - ceiling)
    return smooth_max(wall, roof, 5.0).astype(np.float32)


def dome_height(physique: Physique, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Return reference z in mm of the diaphragm's upper face over reference ``x``, ``y``."""
    flare = physique.base_width * 16.0
    height = np.full(np.broadcast(x, y).shape, -1e3)
    for side, lower in ((-1.0, 0.0), (1.0, physique.left_dome_lower_mm)):
        across, along = side * x - 56.0, y + 84.0
        east = np.where(across > 0, across / (58.0 + flare), across / 80.0)
        south = np.where(along > 0, along / 97.0, along / 80.0)
        far = np.sqrt(east**2 + south**2) + 1e-6
        # The drop to the wall: deep at the back and the side, shallow in front and towards the heart.
        turn_x, turn_y = (east / far) ** 2, (south / far) ** 2
        drop = turn_x * np.where(east > 0, 56.0, 14.0) + turn_y * np.where(south > 0, 84.0, 30.0)
        side_height = physique.dome_drop_mm - lower - drop * (0.4 * far**2 + 0.6 * far**4.5)
        height = np.maximum(height, np.where(side * x > -14, side_height, -1e3))
    return height


def shape_diaphragm(grid: FieldGrid, physique: Physique) -> NDArray[np.float32]:
    """Return the distance to the diaphragm's upper face in mm, positive above it."""
    x, y, z = physique.to_reference(*grid.axes())
    return grid.to_distance(z - dome_height(physique, x, y))


# Ribs 1-12: z at the angle of the vertebra, share of the common drop, extra drop in mm/deg, angle of the front end.
RIB_TABLE = np.array(
    [
        [98, 0.50, 0.00, 158], [90, 0.52, 0.00, 154], [78, 0.72, 0.00, 149], [63, 0.83, 0.00, 145],
        [42, 0.95, 0.00, 141], [18, 1.00, 0.00, 135], [-8, 1.07, 0.00, 129], [-37, 1.15, 0.05, 119],
        [-66, 1.10, 0.20, 110], [-93, 0.90, 0.50, 98], [-124, 0.30, 0.90, 82], [-156, 0.00, 0.90, 54],
    ],
    float,
)  # fmt: skip
_DROP_DEG = np.array([0, 37, 52, 67, 82, 97, 112, 127, 142, 160], float)
_DROP_MM = np.array([0, 0, 4, 12, 25, 43, 66, 87, 101, 110], float)


def rib_height(physique: Physique, rib: int, angle_deg: NDArray[Any]) -> NDArray[np.float64]:
    """Return reference z in mm of rib ``rib`` (0-11) at an angle from the back (0) over the side (90) to the front."""
    top, share, extra, _ = RIB_TABLE[rib]
    drop = share * np.interp(angle_deg, _DROP_DEG, _DROP_MM) + extra * np.maximum(angle_deg - 22.0, 0.0)
    return np.asarray(top - physique.rib_slope * drop)


def wall_point(
    physique: Physique, angle_deg: NDArray[Any], z: NDArray[Any], side: float, grow_mm: float
) -> NDArray[np.float64]:
    """Return reference points ``(n, 3)`` on the cage grown by ``grow_mm``, seen from (side * 10, -70) at an angle."""
    turn = np.radians(angle_deg)
    near, far = np.full(len(turn), 5.0), np.full(len(turn), 220.0)
    for _ in range(40):
        middle = (near + far) / 2
        x, y = 10.0 + middle * np.sin(turn), -70.0 + middle * np.cos(turn)
        inside = cage_level(physique, x, y, z, grow_mm) < 0
        near, far = np.where(inside, middle, near), np.where(inside, far, middle)
    return np.stack([side * (10.0 + near * np.sin(turn)), -70.0 + near * np.cos(turn), z], axis=1)
