"""DICOM headers that do not place a stack of slices (rows 17, 18 and 20-24)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from tests.battery.body import make_body
from tests.battery.kind import DEFAULT, SMALL, Built, Group
from tests.battery.writing import build_series, stack, write_series
from tests.dicom_files import set_tags

GROUP = Group("header")


def _build_changed(folder: Path, rng: Generator, every: bool, **tags: Any) -> Built:
    """Change tags in all slices or in some; a value of None deletes the tag."""
    slices = stack(make_body(rng).volume)
    some = rng.choice(len(slices), rng.integers(1, 4), replace=False)
    for data in slices if every else [slices[index] for index in some]:
        set_tags(data, **tags)
    return Built(write_series(folder, slices, rng))


@GROUP.kind("orientation-mixed", 17, "slices of another orientation in between", codes="ORIENTATION_MIXED")
def _(folder: Path, rng: Generator) -> Built:
    angle = np.radians(float(rng.choice([-1, 1]) * rng.uniform(1, 12)))
    turned = [1.0, 0.0, 0.0, 0.0, round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)]
    return _build_changed(folder, rng, False, ImageOrientationPatient=turned)


@GROUP.kind("field-of-view-moves", 17, "the field of view moves sideways half way", codes="POSITION_MIXED")
def _(folder: Path, rng: Generator) -> Built:
    slices = stack(make_body(rng).volume)
    shift = float(rng.choice([-1, 1]) * rng.uniform(5, 30))
    for data in slices[int(rng.integers(6, len(slices) - 6)) :]:
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [round(x + shift, 3), y, z]
    return Built(write_series(folder, slices, rng))


@GROUP.kind("matrix-mixed", 18, "slices of another matrix in between", codes="MATRIX_MIXED")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices, rows = stack(body.volume), int(rng.integers(8, 20))
    for index in rng.choice(len(slices), rng.integers(1, 5), replace=False):
        data = slices[index]
        data.Rows, data.PixelData = rows, data.PixelData[: rows * data.Columns * 2]
    return Built(write_series(folder, slices, rng))


@GROUP.kind("pixel-spacing-mixed", 18, "slices of another pixel spacing in between", codes="MATRIX_MIXED")
def _(folder: Path, rng: Generator) -> Built:
    return _build_changed(folder, rng, False, PixelSpacing=[round(float(mm), 3) for mm in rng.uniform(2, 3, 2)])


for name, text, tags in (
    ("no-position", "no ImagePositionPatient", {"ImagePositionPatient": None}),
    ("no-orientation", "no ImageOrientationPatient", {"ImageOrientationPatient": None}),
    ("orientation-bad", "an orientation of parallel or short axes", {"ImageOrientationPatient": [1.0, 0, 0, 1, 0, 0]}),
):
    GROUP.add(name, 20, text,
              lambda folder, rng, tags=tags: _build_changed(folder, rng, bool(rng.random() < 0.5), **tags),
              codes="NO_POSITION")  # fmt: skip


@GROUP.kind("positions-equal", 20, "all slices at one place", codes="DUPLICATE_POSITION")
def _(folder: Path, rng: Generator) -> Built:
    return _build_changed(folder, rng, True, ImagePositionPatient=[round(float(mm), 1) for mm in rng.uniform(-9, 9, 3)])


for name, text, choices in (
    ("pixel-spacing-zero", "PixelSpacing 0", ([0.0, 0.0], [0.0, 1.2], [0.9, 0.0])),
    ("pixel-spacing-negative", "PixelSpacing below 0", ([-1.0, 1.0], [-0.8, -0.8], [0.7, -1.1])),
    ("pixel-spacing-absent", "no PixelSpacing", (None, None, None)),
    ("pixel-spacing-not-finite", "PixelSpacing NaN or infinite", (["nan", "nan"], ["1.0", "inf"], ["-inf", "1.0"])),
    ("pixel-spacing-absurd", "PixelSpacing of 0.02 or 6 mm", ([0.02, 0.02], [6.0, 6.0], [40.0, 40.0])),
):
    GROUP.add(name, 21, text,
              lambda folder, rng, choices=choices: _build_changed(folder, rng, True,
                                                                  PixelSpacing=choices[rng.integers(3)]),
              codes="BAD_SPACING")  # fmt: skip


@GROUP.kind("pixels-not-square", 22, "pixels much taller or wider than square")
def _(folder: Path, rng: Generator) -> Built:
    wide = float(rng.uniform(1.5, 3))
    body = make_body(rng, spacing_mm=(1.5, *((0.8, round(0.8 * wide, 2)) if rng.random() < 0.5 else (1.9, 0.7))))
    return build_series(folder, body, stack(body.volume), rng)


def _build_step(folder: Path, rng: Generator, low_mm: float, high_mm: float) -> Built:
    body = make_body(rng, spacing_mm=(round(float(rng.uniform(low_mm, high_mm)), 2), 1.1, 1.5))
    return build_series(folder, body, stack(body.volume), rng)


OPEN = replace(SMALL, max_slice_spacing_mm=12.0)
GROUP.add("slices-thick", 23, "3 to 5 mm between slices", lambda folder, rng: _build_step(folder, rng, 3.1, 5),
          flags="THICK_SLICES")  # fmt: skip
GROUP.add("slices-too-thick", 23, "more than 5 mm between slices",
          lambda folder, rng: _build_step(folder, rng, 5.1, 12), codes="BAD_SPACING")  # fmt: skip
GROUP.add("slices-thick-allowed", 23, "more than 5 mm between slices, allowed by the user",
          lambda folder, rng: _build_step(folder, rng, 5.1, 11.9), flags="THICK_SLICES", settings=OPEN)  # fmt: skip


def _build_short(folder: Path, rng: Generator, counts: tuple[int, int], step_mm: float) -> Built:
    shape = (int(rng.integers(*counts)), 24, 26)
    body = make_body(rng, shape=shape, spacing_mm=(step_mm, 1.0, 1.3))
    return build_series(folder, body, stack(body.volume), rng)


GROUP.add("few-slices", 24, "3 to 35 slices", lambda folder, rng: _build_short(folder, rng, (3, 35), 4.8),
          codes="TOO_FEW_SLICES", settings=DEFAULT)  # fmt: skip
GROUP.add("short-scan", 24, "many slices over less than 150 mm",
          lambda folder, rng: _build_short(folder, rng, (45, 60), 2.0), codes="TOO_FEW_SLICES",
          settings=DEFAULT)  # fmt: skip
