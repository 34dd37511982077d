"""How a patient and a tube stand off the standard position."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.geometry.view import View


@dataclass(frozen=True)
class Pose:
    """A small motion of the patient, seen from the image, and of the source; all zero is the standard position.

    Angles are right-handed about axes of the image: up (against the rows), right (along the columns), and out of it.
    The patient is turned about the centre of the CT, in the order of the attributes, then shifted.

    Attributes
    ----------
    rotation_deg
        About the long axis of the patient: what is near the viewer goes to the right.
    tilt_deg
        About the horizontal axis of the image (left-right in frontal views): the head comes nearer to the viewer.
    roll_deg
        In the plane of the image, counterclockwise.
    distance_mm
        The source moves this much away from the detector; the detector stays.
    shift_column_mm, shift_row_mm
        The patient moves to the right and down on the image, in mm at the patient.
    """

    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    roll_deg: float = 0.0
    distance_mm: float = 0.0
    shift_column_mm: float = 0.0
    shift_row_mm: float = 0.0

    def move(self, view: View, center_world_mm: NDArray) -> View:
        """Return ``view`` as the moved patient's own frame sees it: source and detector go the other way.

        ``center_world_mm`` is the fixed point of the turns, float ``(3,)``, LPS mm. A pose of zeros returns the same
        numbers, bit for bit.
        """
        right, down = (_unit(step) for step in (view.column_step_world_mm, view.row_step_world_mm))
        out = np.cross(right, -down)
        angles = (self.rotation_deg, self.tilt_deg, self.roll_deg)
        first, second, third = (_turn(axis, angle) for axis, angle in zip((-down, right, out), angles, strict=True))
        back = (third @ second @ first).T
        shift = right * self.shift_column_mm + down * self.shift_row_mm
        tube = out * np.sign((view.source_world_mm - view.pixel00_world_mm) @ out) * self.distance_mm

        def carry(point: NDArray, origin: NDArray) -> NDArray:
            return point + (back - np.eye(3)) @ (point - origin)  # exact for no turn

        source, pixel00 = (
            carry(point, center_world_mm) - back @ shift
            for point in (view.source_world_mm + tube, view.pixel00_world_mm)
        )
        columns, rows = (carry(step, np.zeros(3)) for step in (view.column_step_world_mm, view.row_step_world_mm))
        return View(source, pixel00, columns, rows, view.shape, view.name)

    def to_json(self) -> dict[str, float]:
        """Return plain JSON values by name; ``Pose(**values)`` is the inverse."""
        return asdict(self)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def _turn(axis: NDArray[np.float64], angle_deg: float) -> NDArray[np.float64]:
    """Return the right-handed rotation about a unit vector (Rodrigues' formula)."""
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(angle_deg)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
