"""The rules that the place of a nodule has to keep. Each breach has a name, which is counted and written down.

docs/nodules.md lists the names with their limits.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import pi

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.nodule.labels import IS_LOBE, IS_LUNG, IS_VESSEL, grow
from drrx.nodule.measure import peak_log_signal
from drrx.nodule.patch import add_to_grid
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.surroundings import Ball, overlaps_another, survey
from drrx.records.anatomy import Label
from drrx.records.nodule import Attachment, NoduleMeasures, Zone
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

PLEURA_MM = 1.0  # room between a nodule and the pleura; and the lung mask is grown by it before parts count as outside
FIELD_MM = 10.0
MAX_SHELL_HU = -500.0
DENSE_HU = -300.0
MAX_OUTSIDE, MAX_AIRWAY, MAX_VESSEL, MAX_DENSE = 0.05, 0.02, 0.15, 0.10
MIN_ZONE_SHARE = 0.5
MIN_DELTA_HU_RATIO = 0.8
MAX_SHIFT_VOXELS = 0.5
MIN_PEAK_LOG_SIGNAL = 0.01


class Rejected(Exception):
    """A place that does not fit; the message is the reason that is counted."""


def refuse_place(found: str, rejections: Counter[str]) -> CaseRefused:
    """Return the error that says how many places were rejected, and why."""
    counts = ", ".join(f"{reason} {count}" for reason, count in rejections.most_common())
    return CaseRefused(
        "NO_PLACE", where="sample_nodules", found=found + (f" ({counts})" if counts else ""),
        needed="a place in aerated lung for every nodule",
        hint="Ask for fewer or smaller nodules, raise max_attempts, or look at the case's anatomy figure.",
    )  # fmt: skip


def check_distances(
    ct: Volume, center_mm: NDArray, diameter_mm: float, taken: Sequence[Ball], edge_margin_mm: float
) -> None:
    """Reject a place too near to the first or last slice, or to another nodule."""
    z, ends = center_mm[2], ct.to_world(np.array([[0, 0, 0], [ct.shape[0] - 1, 0, 0]]))[:, 2]
    if min(z - ends.min(), ends.max() - z) < max(edge_margin_mm, diameter_mm / 2 + 2):
        raise Rejected("near_first_or_last_slice")
    if overlaps_another(center_mm, diameter_mm, taken):
        raise Rejected("near_another_nodule")


def check_surroundings(
    ct: Volume, labels: Volume, center_mm: NDArray, radius_mm: float, attachment: Attachment,
    settings: SampleNodulesSettings,
) -> float:  # fmt: skip
    """Reject on what the CT shows around a place; return the lung around it in HU."""
    around = survey(ct, labels, center_mm, radius_mm)
    if around is None:
        raise Rejected("no_lung_around")
    if around.field_mm < FIELD_MM:
        raise Rejected("near_edge_of_field_of_view")
    if attachment != "juxtapleural" and around.clearance_mm < PLEURA_MM:
        raise Rejected("not_deep_enough")
    if around.hu_shell_mean > MAX_SHELL_HU:
        raise Rejected("dense_tissue_around")
    if not settings.lung_hu_min <= around.hu_lung_local <= settings.lung_hu_max:
        raise Rejected("local_lung_hu")
    return around.hu_lung_local


def check_cover(
    occupancy: NDArray[np.float32], labels: NDArray[np.uint8], hu_before: NDArray[np.float32], spacing_mm: float,
    attachment: Attachment,
) -> None:  # fmt: skip
    """Reject on what a nodule would cover; all arrays are on its fine grid."""
    total = float(occupancy.sum())
    if occupancy[~grow_lung(labels, spacing_mm)].sum() > MAX_OUTSIDE * total:
        raise Rejected("outside_lung")
    if occupancy[labels == Label.AIRWAY].sum() > MAX_AIRWAY * total:
        raise Rejected("in_airway")
    # Where a vessel is asked for, what the nodule adds to it is the limit: see ``check_measures``.
    if attachment == "juxtavascular":
        return
    if occupancy[IS_VESSEL[labels]].sum() > MAX_VESSEL * total:
        raise Rejected("in_vessel")
    dense = hu_before > DENSE_HU
    if attachment == "juxtapleural":
        dense &= IS_LOBE[labels]  # it reaches into the pleura by intent
    if occupancy[dense].sum() > MAX_DENSE * total:
        raise Rejected("in_dense_tissue")


def check_zones(fractions: Mapping[Zone, float], weights: Mapping[Zone, float] | None) -> None:
    """Reject a nodule that lies less than half in the zones asked for."""
    if weights and sum(share for zone, share in fractions.items() if weights.get(zone, 0.0) > 0) < MIN_ZONE_SHARE:
        raise Rejected("zone_not_reached")


def check_measures(measures: NoduleMeasures, diameter_mm: float, volume_tolerance: float) -> None:
    """Reject a nodule that is not what was asked for."""
    if abs(measures.volume_mm3 / (pi / 6 * diameter_mm**3) - 1) > volume_tolerance:
        raise Rejected("volume_error")
    if measures.delta_hu_ratio < MIN_DELTA_HU_RATIO:
        raise Rejected("too_little_hu_added")


def check_insertion(ct: Volume, patch: NodulePatch) -> None:
    """Reject a nodule that the voxels of the CT do not hold where its own fine grid has it.

    Compared are the centroids of the added HU before and after averaging over the voxels of the CT: at most half a
    voxel apart along each axis. They part when a patch leaves the CT or is put on another grid than its own.
    """
    added = add_to_grid(ct, patch)
    if added is None:
        raise Rejected("centroid_shifted")
    window, hu = added
    affine = ct.world_from_index.copy()
    affine[:3, 3] = ct.to_world(np.array([part.start for part in window]))
    shift_mm = _centroid_mm(Volume(hu, affine)) - _centroid_mm(patch.grid.with_values(patch.delta_hu))
    if (np.abs(shift_mm) > MAX_SHIFT_VOXELS * np.array(ct.spacing_mm)[::-1]).any():
        raise Rejected("centroid_shifted")


def _centroid_mm(values: Volume) -> NDArray[np.float64]:
    total = values.values.sum(dtype=np.float64)
    index = [
        (values.values.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64) * np.arange(count)).sum() / total
        for axis, count in enumerate(values.shape)
    ]
    return values.to_world(np.array(index))


def check_straight(patch: NodulePatch, others: Sequence[NodulePatch] = ()) -> str | None:
    """Say whether a nodule is too faint straight through from front to back: the check where no views are known."""
    return "invisible" if peak_log_signal(patch) < MIN_PEAK_LOG_SIGNAL else None


def grow_lung(labels: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.bool_]:
    """Return the lung in a label map on a cube grid, grown by 1 mm."""
    return grow(IS_LUNG[labels], PLEURA_MM, (spacing_mm,) * 3)
