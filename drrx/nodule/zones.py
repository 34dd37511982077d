"""What lies over a place in the lung when it is looked at from the front: the zones in which radiographs hide nodules.

The zones are found in parallel projection along y, from back to front, on the coarse label map. A pa or ap view is a
cone beam: at the rim of the image a zone's edge lies up to 6 mm off on it. What a nodule has over it in a real view is
measured in the annotation; a zone is where it was put.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from drrx.nodule.labels import IS_LEFT, IS_LUNG, IS_RIGHT, Boolean
from drrx.nodule.patch import axis_coordinates
from drrx.records.anatomy import Label
from drrx.records.nodule import Zone
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

ZONES: tuple[Zone, ...] = get_args(Zone)
APICAL_SHARE = 0.12  # of the height of a lung: what lies behind clavicle and first rib
MEDIASTINUM_MM = 40.0  # path through heart and mediastinum that hides
BELLY_MM = 20.0  # path through liver, stomach, spleen that hides
HILUM_HALF_HEIGHT_MM = 30.0
HILUM_WIDTH_MM = 30.0  # beyond the border of the mediastinum ...
HILUM_REACH_MM = 80.0  # ... but not further from the midline: a wide heart is no hilum
# The main bronchi have parted where the airways are this wide; the hila lie a little below.
BIFURCATION_MM = 35.0
HILUM_BELOW_MM = 20.0
HILUM_SHARE = 0.55  # of the height of the lungs, where no airways were found


@dataclass(frozen=True, eq=False)
class ZoneMap:
    """The zone of each frontal column of voxels.

    Attributes
    ----------
    labels
        uint8 ``[slice, row, column]``: coarse label map, cropped to the lungs.
    """

    labels: Volume

    @cached_property
    def zones(self) -> NDArray[np.uint8]:
        """Index into ``ZONES``, ``[slice, column]``; where several hold, the first of the order below.

        Apical, retrocardiac, subdiaphragm, hilar, free.
        """
        hidden = self.mediastinum_mm > MEDIASTINUM_MM
        conditions = {
            "apical": self._is_apical(), "retrocardiac": hidden, "subdiaphragm": self.belly_mm > BELLY_MM,
            "hilar": self._is_hilar(hidden),
        }  # fmt: skip
        zones = np.full(hidden.shape, ZONES.index("free"), np.uint8)
        for name, holds in reversed(conditions.items()):
            zones[holds] = ZONES.index(name)
        return zones

    @cached_property
    def mediastinum_mm(self) -> NDArray[np.float64]:
        """Path through heart and mediastinum, mm, ``[slice, column]``."""
        return (self.labels.values == Label.MEDIASTINUM).sum(axis=1) * self.labels.spacing_mm[1]

    @cached_property
    def belly_mm(self) -> NDArray[np.float64]:
        """Path through tissue with lung above and none below it, mm, ``[slice, column]``: under the dome."""
        lung = IS_LUNG[self.labels.values]
        above = np.maximum.accumulate(lung[::-1], axis=0)[::-1]
        below = np.maximum.accumulate(lung, axis=0)
        tissue = (self.labels.values == Label.BODY) | (self.labels.values == Label.BONE)
        return (above & ~below & tissue).sum(axis=1) * self.labels.spacing_mm[1]

    @cached_property
    def midline(self) -> float:
        """Column half-way between the middles of the lungs; the middle of the map where one is missing."""
        middles = [np.nonzero(side[self.labels.values].any(axis=(0, 1)))[0] for side in (IS_RIGHT, IS_LEFT)]
        if any(len(found) == 0 for found in middles):
            return (self.labels.shape[2] - 1) / 2
        return float(np.mean([found.mean() for found in middles]))

    @cached_property
    def hilum_slice(self) -> float:
        """Slice in which the hila lie: under the bifurcation of the airways."""
        airway = (self.labels.values == Label.AIRWAY).any(axis=1)
        slice_mm, _, column_mm = self.labels.spacing_mm
        width = np.where(
            airway.any(axis=1), airway.shape[1] - airway.argmax(axis=1) - airway[:, ::-1].argmax(axis=1), 0
        )
        wide = np.flatnonzero(width * column_mm > BIFURCATION_MM)
        if len(wide):
            return float(wide[-1] - HILUM_BELOW_MM / slice_mm)
        used = np.flatnonzero(IS_LUNG[self.labels.values].any(axis=(1, 2)))
        return float(used[0] + HILUM_SHARE * (used[-1] - used[0]))

    def _is_apical(self) -> Boolean:
        slices, _, columns = self.labels.shape
        apical = np.zeros((slices, columns), bool)
        on_right = np.arange(columns) <= self.midline
        for side, half in ((IS_RIGHT, on_right), (IS_LEFT, ~on_right)):
            used = np.flatnonzero(side[self.labels.values].any(axis=(1, 2)))
            if len(used):
                apical |= (np.arange(slices) > used[-1] - APICAL_SHARE * (used[-1] - used[0]))[:, None] & half
        return apical

    def _is_hilar(self, hidden: Boolean) -> Boolean:
        slice_mm, _, column_mm = self.labels.spacing_mm
        if not hidden.any():
            return np.zeros_like(hidden)
        near = distance_transform_edt(~hidden, sampling=(slice_mm, column_mm)) <= HILUM_WIDTH_MM
        height_mm = np.abs(np.arange(len(hidden)) - self.hilum_slice) * slice_mm
        across_mm = np.abs(np.arange(hidden.shape[1]) - self.midline) * column_mm
        return near & (height_mm <= HILUM_HALF_HEIGHT_MM)[:, None] & (across_mm <= HILUM_REACH_MM)

    def zone_at(self, center_world_mm: NDArray) -> Zone:
        """Return the zone of a place, LPS mm."""
        index = np.rint(self.labels.to_index(center_world_mm)).astype(int)
        z, _, x = np.clip(index, 0, np.array(self.labels.shape) - 1)
        return ZONES[self.zones[z, x]]

    def fractions(self, patch: NodulePatch) -> dict[Zone, float]:
        """Return the shares of a patch's occupancy by zone, those above 0; they add up to 1."""
        axes = axis_coordinates(self.labels, patch.occupancy.shape, patch.world_from_index)
        z, x = (np.clip(np.rint(axes[i]).astype(int), 0, self.labels.shape[i] - 1) for i in (0, 2))
        frontal = patch.occupancy.sum(axis=1, dtype=np.float64)
        sums = np.bincount(self.zones[np.ix_(z, x)].ravel(), frontal.ravel(), len(ZONES)) / frontal.sum()
        return {zone: float(share) for zone, share in zip(ZONES, sums, strict=True) if share > 0}
