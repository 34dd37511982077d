"""Where a nodule may lie: candidates deep enough in the lung, and the reasons to reject one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import acos, pi, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter1d

from drrx.nodule.patch import axis_coordinates
from drrx.records.anatomy import LEFT_LUNG, LOBES, RIGHT_LUNG, Anatomy, Label
from drrx.records.nodule import Attachment
from drrx.volume import Volume

# Upper lobes and the right lung carry more of the cancers that radiographs miss (Shah 2003, Austin 1992); ours.
MALIGNANT_WEIGHTS = {
    Label.LOBE_RIGHT_UPPER: 0.36, Label.LOBE_RIGHT_MIDDLE: 0.06, Label.LOBE_RIGHT_LOWER: 0.18,
    Label.LOBE_LEFT_UPPER: 0.24, Label.LOBE_LEFT_LOWER: 0.16,
}  # fmt: skip
COARSE_MM = 2.5
VESSELS = (Label.VESSEL_RIGHT, Label.VESSEL_LEFT)
Boolean = NDArray[np.bool_]


def label_table(*labels: Label) -> Boolean:
    """Return a table of 256 bools that is true for ``labels``."""
    table = np.zeros(256, dtype=bool)
    table[list(labels)] = True
    return table


IS_LUNG, IS_LOBE, IS_VESSEL = label_table(*RIGHT_LUNG, *LEFT_LUNG), label_table(*LOBES), label_table(*VESSELS)


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
    def vessel_distance_mm(self) -> NDArray[np.float32]:
        """Distance of each voxel to the nearest vessel in the lung, mm."""
        vessels = IS_VESSEL[self.labels.values]
        if not vessels.any():
            return np.full(vessels.shape, np.inf, dtype=np.float32)
        return np.asarray(distance_transform_edt(~vessels, sampling=self.labels.spacing_mm), dtype=np.float32)

    @property
    def room_mm(self) -> float:
        """Diameter of the largest ball that fits into the lungs, less 2 mm."""
        return 2 * float(self.distance_mm.max(initial=0.0)) - 2


def make_lung_map(anatomy: Anatomy) -> LungMap | None:
    """Return the lung map of a CT, or ``None`` where there is no lung at all."""
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


class Candidates:
    """Voxels of the coarse map that may hold the centre of one nodule, by lobe."""

    def __init__(
        self, lungs: LungMap, radius_mm: float, attachment: Attachment, weights: Literal["malignant", "uniform"]
    ) -> None:
        self._lungs = lungs
        distance = lungs.distance_mm
        # Juxtapleural: the pleura cuts the body, so the centre is 0-0.8 R deep; else the whole ball and 1 mm fit.
        allowed = distance >= radius_mm + 1
        if attachment == "juxtapleural":
            allowed = (distance > 0.1 * radius_mm) & (distance <= 0.8 * radius_mm)
        elif attachment == "juxtavascular":
            near = lungs.vessel_distance_mm
            allowed &= (near > 0.5 * radius_mm) & (near <= radius_mm + 2)
        labels = lungs.labels.values
        self.by_lobe = {lobe: found for lobe in LOBES if len(found := np.flatnonzero(allowed & (labels == lobe)))}
        share = [MALIGNANT_WEIGHTS[lobe] if weights == "malignant" else len(v) for lobe, v in self.by_lobe.items()]
        self._weights = np.array(share, dtype=float) / sum(share) if share else np.zeros(0)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], Label, float]:
        """Return a centre (LPS mm, anywhere in its coarse voxel), its lobe, and its depth in the lung in mm."""
        lobe = list(self.by_lobe)[rng.choice(len(self._weights), p=self._weights)]
        flat = self.by_lobe[lobe][rng.integers(len(self.by_lobe[lobe]))]
        index = np.array(np.unravel_index(flat, self._lungs.distance_mm.shape))
        center = self._lungs.labels.to_world(index + rng.uniform(-0.5, 0.5, 3))
        return center, lobe, float(self._lungs.distance_mm.flat[flat])


@dataclass(frozen=True)
class Surroundings:
    """The CT around a place, before a nodule is there."""

    hu_lung_local: float
    hu_shell_mean: float
    touches_outside: bool


def survey(ct: Volume, labels: Volume, center_mm: NDArray, radius_mm: float) -> Surroundings | None:
    """Look at the shell around a ball: local lung 3-10 mm outside, all tissue 0-5 mm outside; ``None`` without lung."""
    reach = radius_mm + 10
    index, spacing = ct.to_index(center_mm), np.array(ct.spacing_mm)
    low = np.maximum(np.floor(index - reach / spacing), 0).astype(int)
    high = np.minimum(np.ceil(index + reach / spacing) + 1, ct.shape).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [((np.arange(a, b) - i) * s) ** 2 for a, b, i, s in zip(low, high, index, spacing, strict=True)]
    beyond = np.sqrt(axes[0][:, None, None] + axes[1][:, None] + axes[2]) - radius_mm
    hu, label = ct.values[window], labels.values[window]
    lung = hu[IS_LOBE[label] & (beyond >= 3) & (beyond <= 10)]
    shell = hu[IS_LUNG[label] & (beyond >= 0) & (beyond <= 5)]
    if lung.size < 20 or shell.size < 20:
        return None
    outside = bool((label[beyond <= 3] == Label.OUTSIDE).any())
    return Surroundings(float(np.median(lung)), float(shell.mean()), outside)


def sample_labels(labels: Volume, shape: Sequence[int], world_from_index: NDArray) -> NDArray[np.uint8]:
    """Return the nearest label on a fine grid; ``OUTSIDE`` beyond the label map."""
    axes = axis_coordinates(labels, shape, world_from_index)
    nearest = [np.rint(a).astype(int) for a in axes]
    inside = [(a >= 0) & (a < n) for a, n in zip(nearest, labels.shape, strict=True)]
    clipped = [np.clip(a, 0, n - 1) for a, n in zip(nearest, labels.shape, strict=True)]
    values = labels.values[np.ix_(*clipped)].copy()
    values[~(inside[0][:, None, None] & inside[1][:, None] & inside[2])] = Label.OUTSIDE
    return values


def grow(mask: Boolean, distance_mm: float, spacing_mm: tuple[float, float, float]) -> Boolean:
    """Return ``mask`` grown by ``distance_mm`` along each axis (a box: fast, and enough for a millimetre)."""
    grown = mask.astype(np.uint8)
    for axis, spacing in enumerate(spacing_mm):
        grown = maximum_filter1d(grown, 2 * round(distance_mm / spacing) + 1, axis=axis, mode="nearest")
    return np.asarray(grown, dtype=bool)


def overlaps_another(center_mm: NDArray, diameter_mm: float, others: Sequence[tuple[NDArray, float]]) -> bool:
    """Say whether a nodule is too near to one of ``others`` (centre in mm, diameter in mm).

    Too near: closer than 1.5 times the sum of the radii in 3-D, or more than 20 % of the smaller disc hidden behind the
    other one when looked at from the front.
    """
    for other_mm, other_diameter in others:
        apart = np.asarray(center_mm) - other_mm
        if np.linalg.norm(apart) < 0.75 * (diameter_mm + other_diameter):
            return True
        a, b = diameter_mm / 2, other_diameter / 2
        if lens_area(float(np.hypot(apart[0], apart[2])), a, b) > 0.2 * pi * min(a, b) ** 2:
            return True
    return False


def lens_area(distance: float, a: float, b: float) -> float:
    """Area that two discs of radius ``a`` and ``b`` share."""
    if distance >= a + b:
        return 0.0
    if distance <= abs(a - b):
        return pi * min(a, b) ** 2
    x = (distance**2 + a**2 - b**2) / (2 * distance)
    y = sqrt(max(0.0, a**2 - x**2))
    return a * a * acos(x / a) + b * b * acos((distance - x) / b) - distance * y
