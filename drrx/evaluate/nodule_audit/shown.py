"""Where a nodule shows in a radiograph, by a projection of its voxels that shares nothing with the projector."""

import numpy as np
from numpy.typing import NDArray

from drrx.evaluate.nodule_audit.results import Shown
from drrx.geometry import View
from drrx.records.patch import NodulePatch


def measure_image(shown: Shown, patch: NodulePatch) -> dict[str, float]:
    """Compare the annotation of one nodule in one view with its patch.

    Each voxel is a point of mass ``occupancy x volume``; a ray's path through a small volume ``dV`` at magnification
    ``m`` and angle ``theta`` to the central ray, summed over detector area, is ``m^2 / cos(theta) dV``.

    Returns
    -------
    dict
        ``center_px``: annotated centre from the projected centroid. ``centroid_px``: annotated path-weighted centroid
        from that of the voxels. ``path_mass``: sum of the path map over that of the voxels, less 1.
        ``box_inside_px``: distance of the full box from the image's border. ``peak``: largest change of -ln(I/I0).
        ``recorded_peak``: recorded peak over it, less 1.
    """
    view, annotation, shadow = shown.view, shown.annotation, shown.shadow
    share = patch.occupancy.astype(np.float64)
    index = np.argwhere(share > 0)
    weights = share[share > 0]
    world = patch.grid.to_world(index)
    center = project(view, (weights @ world / weights.sum())[None])[0]
    pixels, magnification, cosine = project(view, world), *_scale(view, world)
    mass = weights * magnification**2 / cosine
    centroid = mass @ pixels / mass.sum()
    row_mm, column_mm = view.pixel_spacing_mm
    on_detector = float(shadow.path_mm.sum(dtype=np.float64)) * row_mm * column_mm
    x, y, width, height = annotation.bbox_full
    peak = float(shadow.delta_line_integral.max())
    return {
        "center_px": _distance(annotation.center_px, center),
        "centroid_px": _distance(annotation.centroid_px, centroid),
        "path_mass": on_detector / (float(mass.sum()) * patch.grid.voxel_volume_mm3) - 1,
        "box_inside_px": min(x, y, shown.image.width - x - width, shown.image.height - y - height),
        "peak": peak, "recorded_peak": annotation.delta_log_peak / peak - 1,
    }  # fmt: skip


def project(view: View, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fractional (row, column) of points ``[n, 3]``: where the line from the source meets the detector plane.

    ``pixel00 + row r + column c = source + t (point - source)``, three equations for r, c and t.
    """
    rays = world_mm - view.source_world_mm
    columns = [np.broadcast_to(step, rays.shape) for step in (view.row_step_world_mm, view.column_step_world_mm)]
    right = np.broadcast_to(view.source_world_mm - view.pixel00_world_mm, rays.shape)
    return np.asarray(np.linalg.solve(np.stack([*columns, -rays], axis=-1), right[..., None])[:, :2, 0])


def _scale(view: View, world_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return magnification, and cosine of the angle to the detector's normal, of points ``[n, 3]``."""
    normal = np.cross(view.row_step_world_mm, view.column_step_world_mm)
    normal /= np.linalg.norm(normal)
    rays = world_mm - view.source_world_mm
    depth = np.abs(rays @ normal)
    whole = abs(float((view.pixel00_world_mm - view.source_world_mm) @ normal))
    return whole / depth, depth / np.linalg.norm(rays, axis=1)


def _distance(annotated_xy: tuple[float, float], row_column: NDArray[np.float64]) -> float:
    """Return the distance in pixels; annotations count from the corner of pixel (0, 0), indices from its centre."""
    x, y = annotated_xy
    return float(np.hypot(x - 0.5 - row_column[1], y - 0.5 - row_column[0]))
