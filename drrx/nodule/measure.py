"""Measure a nodule after it was put into the CT."""

from collections.abc import Sequence
from math import pi

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.composite import composite
from drrx.nodule.labels import IS_VESSEL
from drrx.nodule.model import Draft
from drrx.nodule.shape import RenderedShape
from drrx.records.anatomy import Label
from drrx.records.nodule import NoduleMeasures
from drrx.records.nodule_shape import Triple
from drrx.records.patch import NodulePatch

MU_WATER_PER_MM = 0.0205  # 120 kVp behind 10-20 cm of tissue; only for the check that a nodule can be seen at all

Share = NDArray[np.float32]


def moment_axes(
    occupancy: Share, spacing_mm: float | Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return axes of the uniform ellipsoid (or ellipse) with the same second moments.

    Returns
    -------
    lengths
        Longest first, mm.
    directions
        Their unit vectors as rows, in (x, y, z) order: the largest component of the first two is positive, and the
        rows are right-handed.
    """
    dims = occupancy.ndim
    total = float(occupancy.sum(dtype=np.float64))
    margins = [np.arange(n) * mm for n, mm in zip(occupancy.shape, np.broadcast_to(spacing_mm, dims), strict=True)]
    grids = np.meshgrid(*margins, indexing="ij", sparse=True)[::-1]  # x first
    means = [float((occupancy * g).sum(dtype=np.float64)) / total for g in grids]
    covariance = np.empty((dims, dims))
    for i in range(dims):
        for j in range(i, dims):
            product = (grids[i] - means[i]) * (grids[j] - means[j])
            covariance[i, j] = covariance[j, i] = float((occupancy * product).sum(dtype=np.float64)) / total
    variances, columns = np.linalg.eigh(covariance)
    rows = columns.T[::-1]
    rows = rows * np.sign(np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1))
    rows[-1] *= np.sign(np.linalg.det(rows))
    # A uniform ball of dimension d has variance R^2 / (d + 2) along each axis.
    return 2 * np.sqrt((dims + 2) * np.maximum(variances[::-1], 0.0)), rows


def centroid_mm(patch: NodulePatch) -> Triple:
    """Return the centroid of the occupancy, LPS mm."""
    total, share = float(patch.occupancy.sum(dtype=np.float64)), patch.occupancy
    index = [
        float((share.sum(axis=tuple(i for i in range(3) if i != axis), dtype=np.float64) * np.arange(n)).sum()) / total
        for axis, n in enumerate(share.shape)
    ]
    return _triple(patch.grid.to_world(np.array(index)))


def _triple(values: NDArray[np.float64]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _dense_mm3(rendered: RenderedShape, draft: Draft) -> float:
    """Volume of what is neither ground glass nor the air of a cavity."""
    dense = rendered.occupancy if draft.kind in ("solid", "calcified") else rendered.inclusion
    if dense is None:
        return 0.0
    hollow = 0.0 if rendered.cavity is None else float(rendered.cavity.sum(dtype=np.float64))
    return (float(dense.sum(dtype=np.float64)) - hollow) * rendered.spacing_mm**3


def requested_delta_hu(rendered: RenderedShape, draft: Draft, hu_lung: float) -> float:
    """Return the sum over voxels of the HU that the nodule would add to homogeneous lung."""
    lung = np.full(rendered.occupancy.shape, hu_lung, dtype=np.float32)
    after = composite(lung, rendered, draft.kind, draft.targets, hu_lung)
    return float((after - lung).sum(dtype=np.float64))


def peak_log_signal(patch: NodulePatch) -> float:
    """Return the largest change of -ln(I) straight through from front to back, with 0.0205 per mm of water."""
    path = float(patch.delta_hu.sum(axis=1, dtype=np.float64).max()) * patch.grid.spacing_mm[1]
    return path / 1000 * MU_WATER_PER_MM


def measure_nodule(
    patch: NodulePatch, rendered: RenderedShape, draft: Draft, hu_lung: float, depth_mm: float,
    labels: NDArray[np.uint8], grown_lung: NDArray[np.bool_],
) -> NoduleMeasures:  # fmt: skip
    """Return sizes, HU and shares of a nodule in place; ``labels`` and ``grown_lung`` are on the patch's grid."""
    share, spacing = patch.occupancy, rendered.spacing_mm
    total = float(share.sum(dtype=np.float64))
    delta = patch.delta_hu
    axes, directions = moment_axes(share, spacing)
    axial, _ = moment_axes(share[int(share.sum(axis=(1, 2)).argmax())], spacing)
    return NoduleMeasures(
        centroid_world_mm=centroid_mm(patch), volume_mm3=patch.volume_mm3, axes_mm=_triple(axes),
        axes_world=(_triple(directions[0]), _triple(directions[1]), _triple(directions[2])),
        zone_fractions={"free": 1.0},
        long_axis_axial_mm=float(axial[0]), short_axis_axial_mm=float(axial[1]),
        solid_core_diameter_mm=float((6 * _dense_mm3(rendered, draft) / pi) ** (1 / 3)), hu_lung_local=hu_lung,
        hu_mean_inserted=float((share * patch.hu_after).sum(dtype=np.float64)) / total,
        delta_hu_ratio=float(delta.sum(dtype=np.float64)) / requested_delta_hu(rendered, draft, hu_lung),
        peak_log_signal=peak_log_signal(patch),
        pleura_distance_mm=depth_mm,
        airway_fraction=float(share[labels == Label.AIRWAY].sum()) / total,
        vessel_fraction=float(share[IS_VESSEL[labels]].sum()) / total,
        outside_lung_fraction=float(share[~grown_lung].sum()) / total,
    )  # fmt: skip
