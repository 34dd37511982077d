"""Measure a nodule after it was put into the CT."""

from math import pi

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.composite import composite
from drrx.nodule.model import Draft
from drrx.nodule.place import IS_VESSEL
from drrx.nodule.shape import RenderedShape
from drrx.records.anatomy import Label
from drrx.records.nodule import NoduleMeasures, NodulePatch, Triple

MU_WATER_PER_MM = 0.0205  # 120 kVp behind 10-20 cm of tissue; only for the check that a nodule can be seen at all

Share = NDArray[np.float32]


def moment_axes_mm(occupancy: Share, spacing_mm: float) -> tuple[float, ...]:
    """Return the axes, longest first, of the uniform ellipsoid (or ellipse) with the same second moments, in mm."""
    dims = occupancy.ndim
    total = float(occupancy.sum(dtype=np.float64))
    margins = [np.arange(n) * spacing_mm for n in occupancy.shape]
    grids = np.meshgrid(*margins, indexing="ij", sparse=True)
    means = [float((occupancy * g).sum(dtype=np.float64)) / total for g in grids]
    covariance = np.empty((dims, dims))
    for i in range(dims):
        for j in range(i, dims):
            product = (grids[i] - means[i]) * (grids[j] - means[j])
            covariance[i, j] = covariance[j, i] = float((occupancy * product).sum(dtype=np.float64)) / total
    # A uniform ball of dimension d has variance R^2 / (d + 2) along each axis.
    return tuple(2 * float(np.sqrt((dims + 2) * max(v, 0.0))) for v in np.linalg.eigvalsh(covariance)[::-1])


def centroid_mm(patch: NodulePatch) -> Triple:
    """Return the centroid of the occupancy, LPS mm."""
    total, share = float(patch.occupancy.sum(dtype=np.float64)), patch.occupancy
    index = [
        float((share.sum(axis=tuple(i for i in range(3) if i != axis), dtype=np.float64) * np.arange(n)).sum()) / total
        for axis, n in enumerate(share.shape)
    ]
    x, y, z = patch.grid.to_world(np.array(index))
    return float(x), float(y), float(z)


def _dense_share(rendered: RenderedShape, draft: Draft) -> Share | None:
    return rendered.occupancy if draft.kind in ("solid", "calcified") else rendered.inclusion


def requested_delta_hu(rendered: RenderedShape, draft: Draft, hu_lung: float) -> float:
    """Return the sum over voxels of the HU that the nodule would add to homogeneous lung."""
    lung = np.full(rendered.occupancy.shape, hu_lung, dtype=np.float32)
    after = composite(lung, rendered, draft.kind, draft.targets, hu_lung)
    return float((after - lung).sum(dtype=np.float64))


def measure_nodule(
    patch: NodulePatch, rendered: RenderedShape, draft: Draft, hu_lung: float, depth_mm: float,
    labels: NDArray[np.uint8], grown_lung: NDArray[np.bool_],
) -> NoduleMeasures:  # fmt: skip
    """Return sizes, HU and shares of a nodule in place; ``labels`` and ``grown_lung`` are on the patch's grid."""
    share, spacing = patch.occupancy, rendered.spacing_mm
    total = float(share.sum(dtype=np.float64))
    delta = patch.delta_hu
    long, mid, short = moment_axes_mm(share, spacing)
    axial = moment_axes_mm(share[int(share.sum(axis=(1, 2)).argmax())], spacing)
    dense = _dense_share(rendered, draft)
    core = 0.0 if dense is None else float(dense.sum(dtype=np.float64)) * spacing**3
    return NoduleMeasures(
        centroid_world_mm=centroid_mm(patch), volume_mm3=patch.volume_mm3, axes_mm=(long, mid, short),
        axes_world=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), zone_fractions={"free": 1.0},
        long_axis_axial_mm=axial[0], short_axis_axial_mm=axial[1],
        solid_core_diameter_mm=float((6 * core / pi) ** (1 / 3)), hu_lung_local=hu_lung,
        hu_mean_inserted=float((share * patch.hu_after).sum(dtype=np.float64)) / total,
        delta_hu_ratio=float(delta.sum(dtype=np.float64)) / requested_delta_hu(rendered, draft, hu_lung),
        peak_log_signal=float(delta.sum(axis=1, dtype=np.float64).max()) / 1000 * spacing * MU_WATER_PER_MM,
        pleura_distance_mm=depth_mm,
        airway_fraction=float(share[labels == Label.AIRWAY].sum()) / total,
        vessel_fraction=float(share[IS_VESSEL[labels]].sum()) / total,
        outside_lung_fraction=float(share[~grown_lung].sum()) / total,
    )  # fmt: skip
