"""Lung parenchyma: region, fissures, lobes, density and fine texture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.canvas import Canvas
from drrx.phantom.field import FieldGrid
from drrx.phantom.heart import septum_x
from drrx.phantom.physique import Physique
from drrx.records.anatomy import Label

_OBLIQUE_LIFT_MM = 30.0
_HORIZONTAL_Z_MM = -32.0


@dataclass(frozen=True, eq=False)
class Lungs:
    """Distances in mm on the field grid.

    Attributes
    ----------
    walls
        Cage, mediastinum and diaphragm with signs that make all of them negative inside the lung.
    oblique, horizontal
        Distance above the oblique fissure (both sides) and above the horizontal fissure (right).
    left
        Positive on the patient's left of the septum between the lungs.
    """

    walls: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    oblique: NDArray[np.float32]
    horizontal: NDArray[np.float32]
    left: NDArray[np.float32]

    @property
    def inside(self) -> NDArray[np.float32]:
        """Distance to the surface of the lungs, negative inside."""
        return np.maximum(np.maximum(self.walls[0], self.walls[1]), self.walls[2])

    def lobes(self) -> dict[Label, tuple[tuple[NDArray[np.float32], ...], tuple[float, ...]]]:
        """Return per lobe the fields and signs whose intersection it is, besides ``walls``."""
        right, obl, hor = self.left, self.oblique, self.horizontal
        return {
            Label.LOBE_RIGHT_UPPER: ((right, obl, hor), (1.0, -1.0, -1.0)),
            Label.LOBE_RIGHT_MIDDLE: ((right, obl, hor), (1.0, -1.0, 1.0)),
            Label.LOBE_RIGHT_LOWER: ((right, obl), (1.0, 1.0)),
            Label.LOBE_LEFT_UPPER: ((right, obl), (-1.0, -1.0)),
            Label.LOBE_LEFT_LOWER: ((right, obl), (-1.0, 1.0)),
        }


def shape_lungs(
    grid: FieldGrid,
    physique: Physique,
    cage: NDArray[np.float32],
    region: NDArray[np.float32],
    diaphragm: NDArray[np.float32],
) -> Lungs:
    """Shape the lungs: inside the cage, outside the mediastinum, above the diaphragm."""
    x, y, z = physique.to_reference(*grid.axes())
    left = np.broadcast_to(x - septum_x(y, z), grid.shape)
    x = np.broadcast_to(x, grid.shape)
    tilt = np.where(x < 0, 1.02, 1.10)
    bulge = 4.0 * np.sin(np.abs(x) / 32.0)
    oblique = z - (_OBLIQUE_LIFT_MM + tilt * y + bulge)
    horizontal = z - (_HORIZONTAL_Z_MM + 0.06 * (y + 110.0) - 0.03 * (np.abs(x) - 50.0) + 2.0 * np.sin(x / 21.0))
    return Lungs(
        (cage, -region, -diaphragm), grid.to_distance(oblique), grid.to_distance(horizontal), left.astype(np.float32)
    )


def paint_lungs(canvas: Canvas, grid: FieldGrid, lungs: Lungs, base_hu: float) -> None:
    """Paint parenchyma lobe by lobe, then the fissures as thin sheets."""
    canvas.paint(grid, *lungs.walls, hu=base_hu, label=None)
    for label, (fields, signs) in lungs.lobes().items():
        canvas.paint(grid, *lungs.walls, *fields, hu=None, signs=(1.0, 1.0, 1.0, *signs), label=label)
    sheet = np.abs(lungs.oblique)
    canvas.paint(grid, *lungs.walls, sheet, hu=-780, offsets_mm=(0.0, 0.0, 0.0, -0.45))
    right_middle = (np.abs(lungs.horizontal), lungs.left, lungs.oblique)
    canvas.paint(
        grid, *lungs.walls, *right_middle, hu=-750, signs=(1.0, 1.0, 1.0, 1.0, 1.0, -1.0),
        offsets_mm=(0.0, 0.0, 0.0, -0.45, 0.0, 0.0),
    )  # fmt: skip
