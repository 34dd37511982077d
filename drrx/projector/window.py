"""The view that a CT is projected in, and the part of its detector that a small volume casts its shadow on."""

import itertools
import math

import numpy as np

from drrx.errors import CaseRefused
from drrx.geometry import Pose, View, ViewName, make_standard_view
from drrx.projector.settings import ProjectCtSettings
from drrx.volume import Volume

EXACT_PA = ViewName()
STANDARD_POSE = Pose()
TISSUE_HU = -400


def make_view(ct: Volume, settings: ProjectCtSettings, name: ViewName = EXACT_PA, pose: Pose = STANDARD_POSE) -> View:
    """Return the view ``name`` of ``settings`` through the middle of the grid of ``ct``, the patient moved by ``pose``.

    The same settings, name and pose give the same view: nothing is drawn here.
    """
    is_lateral = name.projection == "lateral"
    view = make_standard_view(
        ct.center_world_mm,
        projection=name.projection,
        size_px=settings.size_px,
        source_to_detector_mm=settings.source_to_detector_mm,
        source_to_center_mm=settings.source_to_center_lateral_mm if is_lateral else settings.source_to_center_mm,
        detector_mm=settings.detector_mm,
        detector_offset_mm=settings.detector_offset_mm,
        name=str(name),
    )
    return pose.move(view, ct.center_world_mm)


def check_clearance(body: Volume, view: View) -> None:
    """Refuse a view whose detector stands inside the body: what lies beyond it would be missing in the image.

    Parameters
    ----------
    body
        HU, with nothing but the body in it.
    view
        Any view of it.

    Raises
    ------
    CaseRefused
        ``DETECTOR_IN_BODY``: tissue lies beyond the detector.
    """
    beyond_mm = _find_tissue_beyond_mm(body, view)
    if beyond_mm > 0:
        raise CaseRefused(
            "DETECTOR_IN_BODY", where=f"view {view.name}", found=f"tissue up to {beyond_mm:.0f} mm beyond the detector",
            needed="the whole body between source and detector",
            hint=f"Make project_ct.source_to_center_mm (of lateral views source_to_center_lateral_mm) smaller by "
            f"{math.ceil(beyond_mm)} mm.",
        )  # fmt: skip


def _find_tissue_beyond_mm(body: Volume, view: View) -> float:
    """Return how far voxels of tissue reach beyond the plane of the detector, in mm; 0 if none does."""
    corner, *along = view.depth_mm(body.to_world(np.vstack([np.zeros(3), np.eye(3)]))) - view.source_to_detector_mm
    depths = [(step - corner) * np.arange(count) for step, count in zip(along, body.shape, strict=True)]
    # Mostly no voxel of the grid is beyond; else the box that holds those which are is small.
    furthest = corner + sum(depth.max() for depth in depths)
    kept = [np.flatnonzero(furthest - depth.max() + depth > 0) for depth in depths]
    if any(len(indices) == 0 for indices in kept):
        return 0.0
    box = np.ix_(*kept)
    beyond = corner + sum(depth[indices] for depth, indices in zip(depths, box, strict=True))
    return float(beyond[body.values[box] > TISSUE_HU].max(initial=0.0))


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
