"""Chests that show their fault only when they are segmented (rows 8, 31, 32, 35 and 54)."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator

from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.volume import Volume
from tests.battery.kind import Built, Group
from tests.battery.writing import stack, write_image, write_series
from tests.thorax import make_thorax

GROUP = Group("chest")
CUTS = SegmentAnatomySettings(work_spacing_mm=4.0)


@cache
def _make_chest(lungs: bool = True) -> Volume:
    return make_thorax((3.0, 4.0, 4.0), lungs=lungs).ct


def _move(volume: Volume, rng: Generator) -> Volume:
    """Place the chest anywhere and give it other noise: no two variants are the same."""
    affine = volume.world_from_index.copy()
    affine[:3, 3] += np.round(rng.uniform(-80, 80, 3), 1)
    return Volume((volume.values + rng.normal(0, 5, volume.shape)).astype(np.int16), affine)


def _crop(volume: Volume, low: int, high: int) -> Volume:
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(np.array([low, 0, 0]))
    return Volume(volume.values[low:high], affine)


def _write(folder: Path, rng: Generator, volume: Volume) -> Built:
    if rng.random() < 0.5:
        return Built(write_series(folder, stack(volume), rng), volume)
    return Built(write_image(folder / "ct.nii.gz", volume), volume)


@GROUP.kind("chest-whole", 31, "a whole chest: nothing to say", cuts=CUTS)
def _(folder: Path, rng: Generator) -> Built:
    return _write(folder, rng, _move(_make_chest(), rng))


def _build_cut(folder: Path, rng: Generator, end: str, num_slices: int) -> Built:
    """Cut so many slices of lung off, counted from the first or last one that holds more than 6 cm2 of it."""
    chest = _make_chest()
    lungs = np.flatnonzero(((chest.values < -700) & (chest.values > -930)).sum(axis=(1, 2)) > 40)
    low = int(lungs[0]) + num_slices if end == "bottom" else 0
    high = int(lungs[-1]) + 1 - num_slices if end == "top" else chest.shape[0]
    return _write(folder, rng, _move(_crop(chest, low, high), rng))


for end, what in (("top", "apex"), ("bottom", "base")):
    GROUP.add(f"lungs-cut-{end}", 31, f"the lungs' {what} just cut",
              lambda folder, rng, end=end: _build_cut(folder, rng, end, int(rng.integers(2))),
              flags=f"LUNG_CUT_{end.upper()}", cuts=CUTS)  # fmt: skip
GROUP.add("lungs-half", 31, "a large part of the lungs missing",
          lambda folder, rng: _build_cut(folder, rng, str(rng.choice(["top", "bottom"])), int(rng.integers(15, 30))),
          codes="LUNG_CUT", cuts=CUTS)  # fmt: skip


@GROUP.kind("no-lungs", 32, "a trunk without lungs", codes="NO_LUNGS", cuts=CUTS)
def _(folder: Path, rng: Generator) -> Built:
    return _write(folder, rng, _move(_make_chest(lungs=False), rng))


@GROUP.kind("body-cut", 35, "a body wider than the field of view", flags=("TRUNCATED_FOV", "BODY_CUT"), cuts=CUTS)
def _(folder: Path, rng: Generator) -> Built:
    volume = _make_chest()
    cut = int(rng.integers(7, 12))  # voxels of 4 mm; the trunk begins 15 mm from the rim
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(np.array([0, 0, cut]))
    return _write(folder, rng, _move(Volume(volume.values[:, :, cut:-cut], affine), rng))


@GROUP.kind("sides-swapped", 54, "left and right swapped by a wrong transform", flags="SIDES_ODD", cuts=CUTS)
def _(folder: Path, rng: Generator) -> Built:
    chest = _move(_make_chest(), rng)
    flipped = chest.with_values(np.ascontiguousarray(chest.values[:, :, ::-1]))
    return _write(folder, rng, flipped)
