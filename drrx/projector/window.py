"""The view that a CT is projected in, and the part of its detector that a small volume casts its shadow on."""

import itertools

import numpy as np

from drrx.geometry import View, make_frontal_view
from drrx.projector.settings import ProjectCtSettings
from drrx.volume import Volume


def make_view(ct: Volume, settings: ProjectCtSettings) -> View:
    """Return the frontal view of ``settings`` through the middle of the grid of ``ct``."""
    return make_frontal_view(
        ct.center_world_mm,
        projection=settings.projection,
        size_px=settings.size_px,
        source_to_detector_mm=settings.source_to_detector_mm,
        source_to_center_mm=settings.source_to_center_mm,
        detector_mm=settings.detector_mm,
    )


def find_window(volume: Volume, view: View) -> tuple[slice, slice] | None:
    """Return the rows and columns of ``view`` that rays through ``volume`` reach, or ``None`` when it misses them all.

    The window is clipped to the detector and covers the whole interpolant, one voxel beyond the outermost centres.
    """
    ends = zip((-1, -1, -1), volume.shape, strict=True)
    corners = volume.to_world(np.array(list(itertools.product(*ends)), float))
    pixels = view.project_points(corners)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, view.shape)
    if (high <= low).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
