"""Where the centre of a nodule may lie, and how likely it lies where: depth, lobe and zone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.labels import Boolean
from drrx.nodule.lung_map import LungMap
from drrx.nodule.regions import LobeWeights, make_regions
from drrx.nodule.zones import ZONES
from drrx.records.anatomy import Label
from drrx.records.nodule import Attachment, Zone


class Candidates:
    """Voxels of the coarse map that may hold the centre of one nodule, with their probabilities.

    Each region gets its share, spread evenly over its candidates; nodules off the pleura get ``outer_share`` of it in
    the outer two thirds of the lung, where a region reaches both. Then each voxel counts by the weight of its zone,
    and all is divided by its sum. So a weight is relative to what would lie in that zone without weights, and regions
    without a candidate give their share to the others.
    """

    def __init__(
        self,
        lungs: LungMap,
        radius_mm: float,
        attachment: Attachment,
        lobe_weights: LobeWeights = "malignant",
        zone_weights: Mapping[Zone, float] | None = None,
        outer_share: float | None = None,
    ) -> None:
        self._lungs = lungs
        regions, shares = make_regions(lobe_weights, lungs.labels.values)
        allowed = find_allowed(lungs, radius_mm, attachment) & (regions > 0)
        self._flat = np.flatnonzero(allowed)
        region = regions.ravel()[self._flat]
        outer = lungs.is_outer.ravel()[self._flat]
        split = outer_share if attachment != "juxtapleural" else None
        weight = np.zeros(len(self._flat))
        for number, share in shares.items():
            weight[region == number] = share * _spread(outer[region == number], split)
        if zone_weights is not None:
            table = np.array([zone_weights.get(zone, 0.0) for zone in ZONES])
            z, _, x = np.unravel_index(self._flat, allowed.shape)
            weight *= table[lungs.zones.zones[z, x]]
        self._cumulative = np.cumsum(weight)

    def __len__(self) -> int:
        """Return the number of voxels, whatever their weight."""
        return len(self._flat)

    @property
    def is_empty(self) -> bool:
        """Whether no voxel may be drawn: there is none, or all that there are have no weight."""
        return len(self) == 0 or self._cumulative[-1] <= 0

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], Label, float]:
        """Return a centre (LPS mm, anywhere in its coarse voxel), its lobe, and its depth in the lung in mm."""
        at = np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1], side="right")
        flat = self._flat[min(at, len(self) - 1)]
        index = np.array(np.unravel_index(flat, self._lungs.distance_mm.shape))
        center = self._lungs.labels.to_world(index + rng.uniform(-0.5, 0.5, 3))
        lobe = Label(int(self._lungs.labels.values.flat[flat]))
        return center, lobe, float(self._lungs.distance_mm.flat[flat])


def find_allowed(lungs: LungMap, radius_mm: float, attachment: Attachment) -> Boolean:
    """Return the voxels deep enough in the lung for a nodule of that radius and attachment."""
    distance = lungs.distance_mm
    # Juxtapleural: the pleura cuts the body, so the centre is 0-0.8 R deep; else the whole ball and 1 mm fit.
    if attachment == "juxtapleural":
        return (distance > 0.1 * radius_mm) & (distance <= 0.8 * radius_mm)
    allowed: Boolean = distance >= radius_mm + 1
    if attachment == "juxtavascular":
        near = lungs.vessel_distance_mm
        allowed &= (near > 0.5 * radius_mm) & (near <= radius_mm + 2)
    return allowed


def _spread(outer: Boolean, outer_share: float | None) -> NDArray[np.float64]:
    """Return weights that add up to 1: even, or with ``outer_share`` of them on ``outer`` where both kinds occur."""
    count, num_outer = len(outer), int(outer.sum())
    if outer_share is None or num_outer in (0, count):
        return np.full(count, 1 / max(1, count))
    return np.where(outer, outer_share / num_outer, (1 - outer_share) / (count - num_outer))
