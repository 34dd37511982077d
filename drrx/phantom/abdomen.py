"""What lies below the diaphragm: liver, stomach with its gas, spleen, colon, kidneys."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.cage import dome_height
from drrx.phantom.field import FieldGrid, smooth_max
from drrx.phantom.physique import Physique


@dataclass(frozen=True, eq=False)
class Abdomen:
    """Distances in mm on the field grid; each organ already ends below the diaphragm and inside the wall."""

    liver: NDArray[np.float32]
    spleen: NDArray[np.float32]
    stomach: NDArray[np.float32]
    colon: NDArray[np.float32]
    gas: NDArray[np.float32]
    kidneys: NDArray[np.float32]


def shape_abdomen(
    grid: FieldGrid,
    physique: Physique,
    cage: NDArray[np.float32],
    diaphragm: NDArray[np.float32],
    rng: np.random.Generator,
) -> Abdomen:
    """Shape the upper abdomen under a given diaphragm (distance, positive above it)."""
    inside = smooth_max(cage + 5.0, diaphragm + 4.0, 6.0)
    size, place = physique.size, physique.place
    top = float(dome_height(physique, np.array([60.0]), np.array([-84.0]))[0])

    def blob(
        *parts: tuple[tuple[float, float, float], tuple[float, float, float]], blend: float = 15.0
    ) -> NDArray[np.float32]:
        field = grid.empty()
        for center, radii in parts:
            grid.add_ellipsoid(
                field, place(np.array(center)).tolist(), (np.array(radii) * size).tolist(), blend_mm=blend
            )
        return np.asarray(smooth_max(field, inside, 4.0), np.float32)

    right = physique.dome_drop_mm
    liver = blob(
        ((-52, -84, right - 48), (66, 86, 62)),
        ((-60, -80, right - 90), (52, 66, 60)),
        ((14, -124, right - 36), (66, 44, 34)),
    )
    spleen = blob(((88, -42, top - 46), (26, 38, 44)), blend=6)
    stomach = blob(
        ((54, -78, top - 30), (40, 42, 36)), ((50, -112, top - 62), (36, 34, 44)), ((20, -128, top - 100), (40, 24, 24))
    )
    jitter = rng.uniform(-6, 6, 3)
    gas = grid.empty()
    # Gas floats: in a supine body it lies under the front wall of the stomach, with a level behind.
    bubble = place(np.array([56.0 + jitter[0], -100.0 + jitter[1], top - 22.0]))
    for step, radii in (((0, 0, 0), (19, 28, 13)), ((14, 6, -3), (16, 22, 11)), ((-13, -8, -7), (13, 20, 10))):
        center = bubble + physique.gas * (np.array(step) + rng.uniform(-4, 4, 3))
        grid.add_ellipsoid(gas, center.tolist(), (np.array(radii) * physique.gas * size).tolist(), blend_mm=8.0)
    level = grid.axes()[1] - np.float32(bubble[1] + 14.0)
    gas = np.maximum(
        smooth_max(np.maximum(gas, stomach + 3.5), diaphragm + 6.0, 4.0), np.broadcast_to(level, gas.shape)
    )
    colon = blob(
        ((96, -104, top - 44), (24, 28, 20)),
        ((74, -138, top - 72), (40, 18, 18)),
        ((-20, -140, right - 108), (80, 18, 20)),
        blend=8,
    )
    for _ in range(14):
        center = np.array([rng.uniform(50, 108), rng.uniform(-140, -92), top - rng.uniform(36, 86)])
        radius = float(rng.uniform(5, 13)) * physique.gas
        bit = grid.empty()
        grid.add_ellipsoid(bit, place(center).tolist(), (radius * 1.3, radius, radius))
        gas = np.minimum(gas, np.maximum(bit, colon + 2.5))
    kidneys = blob(((-52, -40, -190), (26, 24, 50)), ((54, -40, -180), (26, 24, 50)), blend=0)
    return Abdomen(liver, spleen, stomach, colon, gas.astype(np.float32), kidneys)
