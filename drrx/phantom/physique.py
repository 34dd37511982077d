"""Who lies in the scanner: sex, size and shape, and the warp from the reference body to this one."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Centres of vertebral bodies of the reference body, C3 ... T12, L1 ... L4: reference z and y in mm.
VERTEBRA_NAMES = ("C3", "C4", "C5", "C6", "C7", *(f"T{i}" for i in range(1, 13)), "L1", "L2", "L3", "L4")
VERTEBRA_Z_MM = np.array(
    [178, 163, 148, 133, 118, 103, 87, 70, 51, 30, 8, -15, -39, -62, -85, -108, -133, -160, -190, -222, -255], float
)
VERTEBRA_Y_MM = np.array(
    [-86, -83, -80, -76, -70, -61, -50, -38, -27, -18, -11, -8, -9, -13, -19, -27, -37, -46, -53, -57, -57], float
)


@dataclass(frozen=True)
class Physique:
    """Drawn traits of one phantom; lengths in mm, factors without unit.

    The *reference body* is a fixed small adult thorax: x to the patient's left with 0 in the midline, y to the back
    with 0 near the front of the spinal canal at T7, z to the head with 0 below the middle of T6. ``place`` maps it to
    this phantom's LPS world: ``world = scale * reference`` plus a sideways bend and a change of kyphosis, then
    the small turn and lean of a body that does not lie quite straight.
    """

    sex: Literal["female", "male"]
    age: float
    height_mm: float
    scale_x: float
    scale_y: float
    scale_z: float
    kyphosis: float
    turn_deg: float
    lean_deg: float
    bend_mm: float
    bend_phase: float
    fat_mm: float
    muscle: float
    dome_drop_mm: float
    left_dome_lower_mm: float
    rib_slope: float
    base_width: float
    heart: float
    heart_tilt_deg: float
    aorta: float
    bone: float
    vessel: float
    nodularity: float
    breast: float
    arm_deg: float
    gas: float

    @property
    def size(self) -> float:
        """Geometric mean of the three scales."""
        return float((self.scale_x * self.scale_y * self.scale_z) ** (1 / 3))

    def _bend(self, z_ref: NDArray[Any]) -> NDArray[Any]:
        return self.bend_mm * np.sin(z_ref / 85.0 + self.bend_phase)

    def _shift(self, z_ref: NDArray[Any]) -> NDArray[Any]:
        # A straighter or rounder back moves the spine towards or away from its mean line (y = -25).
        spine = np.interp(z_ref, VERTEBRA_Z_MM[::-1], VERTEBRA_Y_MM[::-1])
        return (self.kyphosis - 1.0) * (spine + 25.0) * self.scale_y

    def _rotation(self) -> NDArray[np.float64]:
        turn, lean = np.radians(self.turn_deg), np.radians(self.lean_deg)
        about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        about_y = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
        return np.asarray(about_z @ about_y)

    def place(self, points_ref_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Map reference points ``(..., 3)`` (x, y, z in mm) to world points ``(..., 3)`` in LPS mm."""
        points = np.asarray(points_ref_mm, dtype=np.float64)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        back = (y + 165.0) / 180.0
        upright = np.stack(
            [x * self.scale_x + self._bend(z), y * self.scale_y + back * self._shift(z), z * self.scale_z], axis=-1
        )
        return np.asarray(upright @ self._rotation().T)

    def to_reference(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Map broadcastable world coordinates in mm to reference coordinates; inverse of ``place``."""
        turn = self._rotation()
        x, y, z = (turn[0, i] * x + turn[1, i] * y + turn[2, i] * z for i in range(3))
        z_ref = z / self.scale_z
        shift = self._shift(z_ref)
        y_ref = (y - shift * (165.0 / 180.0)) / (self.scale_y + shift / 180.0)
        return (x - self._bend(z_ref)) / self.scale_x, y_ref, z_ref


def draw_physique(rng: np.random.Generator, sex: str) -> Physique:
    """Draw a physique; ``sex`` is ``female``, ``male`` or ``drawn``.

    Ranges follow adult chest radiographs and CTs: inner chest width 235-295 mm, lung length 225-300 mm,
    cardiothoracic ratio 0.38-0.52.
    """
    coin = rng.random()
    male = coin < 0.5 if sex == "drawn" else sex == "male"
    # Every trait is drawn whatever the sex, so that the stream of numbers never shifts.
    normal = np.clip(rng.standard_normal(20), -2.0, 2.0)
    flat = rng.random(12)
    stature = (1755.0 if male else 1630.0) + 65.0 * normal[0]
    length = stature / (1700.0 if male else 1650.0)
    heavy = float(np.clip(0.5 * normal[1] + 0.5 * normal[2], -1.5, 1.8))
    return Physique(
        sex="male" if male else "female",
        age=float(round(25 + 55 * flat[0])),
        height_mm=float(round(stature)),
        scale_x=(1.17 if male else 1.07) * (1 + 0.035 * normal[3] + 0.02 * heavy) * length**0.3,
        scale_y=(1.02 if male else 0.94) * (1 + 0.04 * normal[4] + 0.03 * heavy) * length**0.3,
        scale_z=(1.10 if male else 1.03) * (1 + 0.025 * normal[5]) * length**0.7,
        kyphosis=float(np.clip(0.72 + 0.13 * normal[6] + 0.15 * (flat[0] - 0.3), 0.5, 1.1)),
        turn_deg=1.5 * normal[15],
        lean_deg=0.9 * normal[16],
        bend_mm=2.2 * normal[7],
        bend_phase=float(2 * np.pi * flat[1]),
        fat_mm=(14.0 if male else 18.0) * float(np.exp(0.38 * heavy + 0.08 * normal[8])),
        muscle=(1.05 if male else 0.86) * (1 + 0.07 * normal[9]),
        dome_drop_mm=float(-86.0 + 8.0 * normal[10]),
        left_dome_lower_mm=float(12.0 + 5.0 * normal[11]),
        rib_slope=float(0.86 + 0.07 * normal[12]),
        base_width=float(0.3 + 0.5 * flat[2]),
        heart=float(0.99 * (1 + 0.05 * normal[13] + 0.03 * heavy)),
        heart_tilt_deg=float(5.0 * normal[14] + 4.0 * heavy),
        aorta=float(0.96 + 0.28 * flat[0] * (0.6 + 0.4 * flat[3])),
        bone=float(1.12 - 0.32 * flat[0] + 0.08 * (flat[4] - 0.5)),
        vessel=float(1.0 + 0.12 * (2 * flat[5] - 1)),
        nodularity=float(0.06 + 0.12 * flat[6]),
        breast=float(0.0 if male else 0.75 + 0.35 * flat[7] + 0.18 * heavy),
        arm_deg=float(3.0 + 8.0 * flat[8]),
        gas=float(0.75 + 0.5 * flat[9]),
    )
