"""Pleura and vessels around a place, and the strands with which a nodule holds on to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.labels import IS_LUNG, IS_VESSEL, label_table
from drrx.nodule.surface import FloatArray
from drrx.records.anatomy import Label
from drrx.records.nodule_shape import Spicule
from drrx.volume import Volume

NUM_RAYS, STEP_MM = 600, 0.4
VESSEL_STEPS = 4  # in a row: 1.6 mm of vessel; less is noise of the label map
TAG_MM, VESSEL_MM = (1.5, 15.0), (2.0, 15.0)  # lengths beyond the surface
TAG_SPREAD_MM, VESSEL_SPREAD_MM = 3.0, 5.0  # strands much longer than the shortest are rare
APART_DEG = 25.0
IS_PLEURA = label_table(Label.BODY, Label.BONE)  # chest wall and diaphragm; the mediastinum holds hila and heart


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What rays from a place meet first.

    Attributes
    ----------
    directions
        float64 ``(n, 3)``: unit vectors x, y, z, evenly over the sphere.
    pleura_mm, vessel_mm
        float64 ``(n,)``: distance from the place to the pleura and to the first vessel that lies in front of it; inf
        where there is none within reach.
    """

    directions: FloatArray
    pleura_mm: FloatArray
    vessel_mm: FloatArray


def find_neighbours(labels: Volume, center_mm: NDArray, surface_mm: float) -> Neighbours:
    """Look from ``center_mm`` (LPS) as far as strands go from a body that reaches ``surface_mm``."""
    number = np.arange(NUM_RAYS) + 0.5
    polar, azimuth = np.arccos(1 - 2 * number / NUM_RAYS), np.pi * (1 + 5**0.5) * number  # Fibonacci sphere
    u = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    distance = np.arange(0, surface_mm + max(TAG_MM[1], VESSEL_MM[1]) + 1, STEP_MM)
    index = np.rint(labels.to_index(np.asarray(center_mm) + u[:, None] * distance[:, None])).astype(int)
    inside = ((index >= 0) & (index < labels.shape)).all(-1)
    z, y, x = np.moveaxis(np.clip(index, 0, np.array(labels.shape) - 1), -1, 0)
    seen = np.where(inside, labels.values[z, y, x], np.uint8(Label.OUTSIDE))
    end = _first(~IS_LUNG[seen])
    pleura = np.where(
        IS_PLEURA[np.take_along_axis(seen, np.minimum(end, len(distance) - 1)[:, None], 1)[:, 0]], end, -1
    )
    vessel = IS_VESSEL[seen] & (distance >= surface_mm)
    runs = vessel.copy()
    for step in range(1, VESSEL_STEPS):
        runs[:, :-step] &= vessel[:, step:]
    met = _first(runs)
    return Neighbours(u, _distance(distance, pleura), _distance(distance, np.where(met < end, met, -1)))


def _first(hit: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the first hit of each ray, or the number of steps."""
    return np.where(hit.any(1), hit.argmax(1), hit.shape[1])


def _distance(distance: FloatArray, step: NDArray[np.int64]) -> FloatArray:
    found = (step >= 0) & (step < len(distance))
    return np.where(found, distance[np.where(found, step, 0)], np.inf)


def draw_tags(rng: np.random.Generator, around: Neighbours, surface_mm: FloatArray, count: int) -> tuple[Spicule, ...]:
    """Draw up to ``count`` tags to the pleura, 0.6-1.5 mm thick and tapered, where it is less than 15 mm away.

    ``surface_mm`` is the distance from the place to the body's surface along each direction.
    """
    lengths = around.pleura_mm - surface_mm
    chosen = _choose(rng, around.directions, lengths, TAG_MM, TAG_SPREAD_MM, count)
    bases = rng.uniform(0.6, 1.5, count)
    return tuple(
        _strand(around, lengths, i, base, max(0.6, 0.6 * base)) for i, base in zip(chosen, bases, strict=False)
    )


def draw_vessels(
    rng: np.random.Generator, around: Neighbours, surface_mm: FloatArray, count: int
) -> tuple[Spicule, ...]:
    """Draw up to ``count`` vessels, 0.8-1.8 mm thick, that run from a vessel less than 15 mm away to the body."""
    lengths = around.vessel_mm - surface_mm
    chosen = _choose(rng, around.directions, lengths, VESSEL_MM, VESSEL_SPREAD_MM, count)
    ends = rng.uniform(0.8, 1.8, (count, 2))
    return tuple(_strand(around, lengths, i, base, tip) for i, (base, tip) in zip(chosen, ends, strict=False))


def _choose(
    rng: np.random.Generator, directions: FloatArray, lengths: FloatArray, limits: tuple[float, float],
    spread_mm: float, count: int,
) -> list[int]:  # fmt: skip
    """Return the rays of up to ``count`` strands: short ones first of all, and well apart."""
    weight = np.where((lengths >= limits[0]) & (lengths < limits[1]), np.exp(-lengths / spread_mm), 0.0)
    chosen: list[int] = []
    while len(chosen) < count and weight.any():
        chosen.append(int(rng.choice(len(weight), p=weight / weight.sum())))
        weight[directions @ directions[chosen[-1]] > np.cos(np.radians(APART_DEG))] = 0.0
    return chosen


def _strand(around: Neighbours, lengths: FloatArray, ray: int, base_mm: float, tip_mm: float) -> Spicule:
    x, y, z = (float(value) for value in around.directions[ray])
    return Spicule((x, y, z), float(lengths[ray]), float(base_mm), float(tip_mm))
