"""A cone-beam view: one point source and one flat detector in the world (LPS, mm)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError

_VECTORS = ("source_world_mm", "pixel00_world_mm", "column_step_world_mm", "row_step_world_mm")


@dataclass(frozen=True, eq=False)
class View:
    """Where the source and every pixel centre are.

    The centre of pixel ``[row, column]`` is ``pixel00 + row * row_step + column * column_step``.

    Attributes
    ----------
    source_world_mm, pixel00_world_mm, column_step_world_mm, row_step_world_mm
        float64 ``(3,)``, LPS mm.
    shape
        Number of rows and columns.
    name
        ``"pa"``, ``"lateral_2"``; used in file names and records.
    """

    source_world_mm: NDArray[np.float64]
    pixel00_world_mm: NDArray[np.float64]
    column_step_world_mm: NDArray[np.float64]
    row_step_world_mm: NDArray[np.float64]
    shape: tuple[int, int]
    name: str

    def __post_init__(self) -> None:
        for key in _VECTORS:
            vector = np.asarray(getattr(self, key), dtype=np.float64)
            if vector.shape != (3,) or not np.isfinite(vector).all():
                raise DrrxError(
                    where=f"View.{key}", found=repr(vector.tolist()), needed="three finite numbers in mm",
                    hint="Give x, y, z in the patient's LPS frame.",
                )  # fmt: skip
            object.__setattr__(self, key, vector)
        if min(self.shape) < 1 or abs(self._signed_distance_mm()) < 1e-6:
            raise DrrxError(
                where="View", found=f"shape {self.shape}, source {self.source_world_mm.tolist()}",
                needed="at least one pixel and a source off the detector plane",
                hint="Check the source-detector distance and the pixel steps.",
            )  # fmt: skip

    def _signed_distance_mm(self) -> float:
        normal = np.cross(self.column_step_world_mm, self.row_step_world_mm)
        length = np.linalg.norm(normal)
        if length < 1e-12:
            return 0.0
        return float((self.source_world_mm - self.pixel00_world_mm) @ normal / length)

    @property
    def source_to_detector_mm(self) -> float:
        """Distance from the source to the detector plane, in mm."""
        return abs(self._signed_distance_mm())

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Pitch between rows and between columns on the detector, in mm."""
        return float(np.linalg.norm(self.row_step_world_mm)), float(np.linalg.norm(self.column_step_world_mm))

    def pixel_world_mm(self, row: NDArray, column: NDArray) -> NDArray[np.float64]:
        """Return world positions ``(..., 3)`` of (fractional) pixel indices."""
        row, column = np.asarray(row, float)[..., None], np.asarray(column, float)[..., None]
        return self.pixel00_world_mm + row * self.row_step_world_mm + column * self.column_step_world_mm

    def project_points(self, world_mm: NDArray) -> NDArray[np.float64]:
        """Project world points ``(..., 3)`` in mm to fractional ``(row, column)`` pixel indices ``(..., 2)``."""
        rays = np.asarray(world_mm, float) - self.source_world_mm
        basis = np.stack([self.row_step_world_mm, self.column_step_world_mm], axis=1)
        normal = np.cross(basis[:, 0], basis[:, 1])
        scale = (self.pixel00_world_mm - self.source_world_mm) @ normal / (rays @ normal)
        on_detector = self.source_world_mm + rays * scale[..., None] - self.pixel00_world_mm
        return on_detector @ np.linalg.pinv(basis).T

    def depth_mm(self, world_mm: NDArray) -> NDArray[np.float64]:
        """Return how far points ``(..., 3)`` lie before the source, towards the detector along its normal, in mm."""
        normal = np.cross(self.row_step_world_mm, self.column_step_world_mm)
        normal *= np.sign((self.pixel00_world_mm - self.source_world_mm) @ normal) / np.linalg.norm(normal)
        return (np.asarray(world_mm, float) - self.source_world_mm) @ normal

    def magnification(self, world_mm: NDArray) -> float:
        """Return source-detector over source-point distance along the detector's normal, for one world point in mm."""
        return self.source_to_detector_mm / abs(float(self.depth_mm(world_mm)))

    def window(self, rows: slice, columns: slice) -> "View":
        """Return the view of the pixels ``[rows, columns]`` only; slices need start and stop inside the detector."""
        return View(
            self.source_world_mm, self.pixel_world_mm(np.array(rows.start), np.array(columns.start)),
            self.column_step_world_mm, self.row_step_world_mm,
            (rows.stop - rows.start, columns.stop - columns.start), self.name,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_json`` is the inverse."""
        return {key: getattr(self, key).tolist() for key in _VECTORS} | {"shape": list(self.shape), "name": self.name}

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the four vectors by name, for an ``.npz`` file."""
        return {key: getattr(self, key) for key in _VECTORS}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "View":
        """Return the view that ``to_json`` wrote."""
        return cls(**{**data, "shape": (int(data["shape"][0]), int(data["shape"][1]))})
