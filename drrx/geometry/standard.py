"""The standard chest views: PA, AP and left lateral."""

import numpy as np
from numpy.typing import NDArray

from drrx.geometry.name import Projection
from drrx.geometry.view import View

#: Directions in LPS: from the patient to the source, and along the image's columns.
_DIRECTIONS = {
    "pa": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "ap": ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    "lateral": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}


def make_standard_view(
    center_world_mm: NDArray,
    *,
    projection: Projection = "pa",
    size_px: int = 1024,
    source_to_detector_mm: float = 1800.0,
    source_to_center_mm: float = 1600.0,
    detector_mm: float = 430.0,
    detector_offset_mm: tuple[float, float] = (0.0, 0.0),
    name: str | None = None,
) -> View:
    """Make an untilted view whose central ray runs through ``center_world_mm`` onto the detector at a right angle.

    Rows of the image go to the feet (-z). Of ``pa`` (source behind the patient, +y) and ``ap`` (in front, -y) columns
    go to the patient's left (+x): the patient's right lies on the image's left. Of ``lateral`` (left lateral: source at
    the patient's right, -x, left side at the detector) they go to the back (+y): the patient looks to the image's
    left. PA and lateral so show what somebody at the detector sees who looks towards the source.

    Parameters
    ----------
    center_world_mm
        float ``(3,)``, LPS mm.
    projection
        ``"pa"``, ``"ap"`` or ``"lateral"``.
    size_px
        Rows and columns of the detector.
    source_to_detector_mm, source_to_center_mm
        Along the central ray, mm; the first over the second is the magnification at the centre.
    detector_mm
        Side of the square detector, mm.
    detector_offset_mm
        How far the detector's middle stands off the central ray, along columns and along rows, mm. The image moves the
        other way on it.
    name
        Of the view; the projection if not given.
    """
    towards_source, along_columns = (np.array(vector) for vector in _DIRECTIONS[projection])
    along_rows = np.array([0.0, 0.0, -1.0])
    pitch_mm = detector_mm / size_px
    half_mm = (size_px - 1) / 2 * pitch_mm
    source = np.asarray(center_world_mm, float) + towards_source * source_to_center_mm
    foot = source - towards_source * source_to_detector_mm
    off_columns, off_rows = detector_offset_mm
    pixel00 = foot + along_columns * (off_columns - half_mm) + along_rows * (off_rows - half_mm)
    shape = (size_px, size_px)
    return View(source, pixel00, along_columns * pitch_mm, along_rows * pitch_mm, shape, name or projection)
