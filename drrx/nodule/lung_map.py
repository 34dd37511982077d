"""Labels and distances in the lungs on a coarse grid, made once per CT."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from drrx.nodule.labels import IS_LEFT, IS_LUNG, IS_RIGHT, IS_VESSEL, Boolean
from drrx.nodule.zones import ZoneMap
from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume

COARSE_MM = 2.5
HILUM_FROM_MIDLINE_MM = 35.0
NUM_TURNS, NUM_RISES = 18, 9  # cones around the hilum


@dataclass(frozen=True, eq=False)
class LungMap:
    """Labels and distances on a coarse grid (about 2.5 mm), made once per CT.

    Attributes
    ----------
    labels
        uint8 ``[slice, row, column]``: the label map, every n-th voxel, cropped to the lungs.
    distance_mm
        float32, distance of each lung voxel to the nearest voxel that is not lung; 0 outside the lung. Accurate to
        about half a coarse voxel; the fine grid of the nodule decides in the end.
    """

    labels: Volume
    distance_mm: NDArray[np.float32]

    @cached_property
    def zones(self) -> ZoneMap:
        """What lies over the lungs in a frontal view."""
        return ZoneMap(self.labels)

    @cached_property
    def vessel_distance_mm(self) -> NDArray[np.float32]:
        """Distance of each voxel to the nearest vessel in the lung, mm."""
        vessels = IS_VESSEL[self.labels.values]
        if not vessels.any():
            return np.full(vessels.shape, np.inf, dtype=np.float32)
        return np.asarray(distance_transform_edt(~vessels, sampling=self.labels.spacing_mm), dtype=np.float32)

    @cached_property
    def is_outer(self) -> Boolean:
        """Voxels of the outer two thirds: more than a third of the way from the hilum to the lung's surface is done.

        The surface is the furthest lung voxel in a cone of about 20 degrees around the hilum. The hilum is taken to lie
        35 mm beside the midline, at the depth of the airways.
        """
        outer = np.zeros(self.labels.shape, bool)
        airway_rows = np.nonzero((self.labels.values == Label.AIRWAY).any(axis=2))[1]
        row = airway_rows.mean() if len(airway_rows) else (self.labels.shape[1] - 1) / 2
        slice_mm, row_mm, column_mm = self.labels.spacing_mm
        for side, off_mm in ((IS_RIGHT, -HILUM_FROM_MIDLINE_MM), (IS_LEFT, HILUM_FROM_MIDLINE_MM)):
            index = np.nonzero(side[self.labels.values])
            z = (index[0] - self.zones.hilum_slice) * slice_mm
            y = (index[1] - row) * row_mm
            x = (index[2] - self.zones.midline) * column_mm - off_mm
            from_hilum = np.sqrt(x**2 + y**2 + z**2)
            turn = np.floor((np.arctan2(y, x) / (2 * pi) + 0.5) * NUM_TURNS).astype(int) % NUM_TURNS
            rise = np.clip((z / np.maximum(from_hilum, 1e-6) + 1) / 2 * NUM_RISES, 0, NUM_RISES - 1).astype(int)
            surface = np.zeros((NUM_TURNS, NUM_RISES))
            np.maximum.at(surface, (turn, rise), from_hilum)
            outer[index] = 3 * from_hilum > surface[turn, rise]
        return outer

    @property
    def room_mm(self) -> float:
        """Diameter of the largest ball that fits into the lungs, less 2 mm."""
        return 2 * float(self.distance_mm.max(initial=0.0)) - 2


@lru_cache(maxsize=1)
def make_lung_map(anatomy: Anatomy) -> LungMap | None:
    """Return the lung map of a CT, or ``None`` where there is no lung at all; the variants of a CT share one."""
    volume = anatomy.labels
    steps = [max(1, round(COARSE_MM / spacing)) for spacing in volume.spacing_mm]
    coarse = volume.values[:: steps[0], :: steps[1], :: steps[2]]
    lung = IS_LUNG[coarse]
    if not lung.any():
        return None
    # One voxel of frame, so that the lung's own edge at the border of the scan counts as an edge.
    window = []
    for axis in range(3):
        used = np.flatnonzero(lung.any(axis=tuple(i for i in range(3) if i != axis)))
        window.append(slice(max(0, used[0] - 1), used[-1] + 2))
    low = np.array([w.start for w in window])
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(low * steps)
    affine[:3, :3] = affine[:3, :3] * np.array(steps)
    labels = Volume(np.ascontiguousarray(coarse[tuple(window)]), affine)
    framed = np.pad(IS_LUNG[labels.values], 1)
    distance = distance_transform_edt(framed, sampling=labels.spacing_mm)[1:-1, 1:-1, 1:-1]
    # The edge lies half-way to the nearest voxel that is not lung, not at its centre.
    distance = np.where(distance > 0, distance - min(labels.spacing_mm) / 2, 0.0)
    return LungMap(labels, distance.astype(np.float32))
