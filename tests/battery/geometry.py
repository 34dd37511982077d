"""Slices at odd places (rows 7-16)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from drrx.volume import Volume
from tests.battery.body import Body, crop, free_slices, make_body
from tests.battery.kind import SMALL, Built, Group
from tests.battery.writing import build_series, stack, write_series

GROUP = Group("geometry")
TIGHT = replace(SMALL, max_gap_mm=5.0)


# ---- slices missing or unevenly spaced


def _build_without(folder: Path, body: Body, gone: list[int], rng: Generator, truth: bool = True) -> Built:
    slices = [data for index, data in enumerate(stack(body.volume)) if index not in gone]
    built = build_series(folder, body, slices, rng)
    return built if truth else Built(built.path)


@GROUP.kind("slice-missing", 7, "one slice missing, a gap below 5 mm", corrections="GAP_FILLED", exact=False,
            flags="INSTANCE_NUMBERS_ODD",
            settings=TIGHT)  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng, texture=False)
    return _build_without(folder, body, [int(rng.choice(free_slices(body)))], rng)


@GROUP.kind("slice-missing-wide", 7, "one slice missing, a gap above 5 mm", codes="SLICE_GAP", settings=TIGHT)
def _(folder: Path, rng: Generator) -> Built:
    step = round(float(rng.uniform(2.7, 3.0)), 2)
    body = make_body(rng, spacing_mm=(step, 1.0, 1.4))
    return _build_without(folder, body, [int(rng.integers(3, 13))], rng, truth=False)


@GROUP.kind("slices-missing-many", 7, "several slices missing", codes="SLICE_GAP", settings=TIGHT)
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    start = int(rng.integers(3, 6))
    gone = [[start, start + 1], [start, start + 4, start + 9], [start, start + 2]][rng.integers(3)]
    return _build_without(folder, body, gone, rng, truth=False)


@GROUP.kind("ends-missing", 8, "the first and last slices missing",
            flags="INSTANCE_NUMBERS_ODD")  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng, shape=(30, 25, 31))
    low, high = int(rng.integers(2, 5)), int(rng.integers(24, 28))
    volume = Volume(body.volume.values[low:high], body.volume.world_from_index.copy())
    volume.world_from_index[:3, 3] = body.volume.to_world(np.array([low, 0, 0]))
    slices = stack(body.volume)[low:high]
    at = body.volume.to_index(body.markers_mm)[:, 0]
    inside = (at > low + 1) & (at < high - 2)
    return Built(write_series(folder, slices, rng), volume, body.markers_mm[inside])


def _build_uneven(folder: Path, rng: Generator, first_mm: float, second_mm: float, truth: bool) -> Built:
    """Two step lengths within one scan: the body sampled where the slices lie."""
    body = make_body(rng, shape=(40, 26, 30), spacing_mm=(1.0, 1.0, 1.4), texture=False)
    half = 18.0 + float(rng.integers(0, 5))
    depths = np.concatenate([np.arange(0, half, first_mm), np.arange(half, 39.01, second_mm)])
    slices = stack(body.volume)[: len(depths)]
    for data, depth in zip(slices, depths, strict=True):
        affine = body.volume.world_from_index.copy()
        affine[2, 3] += depth
        plane = body.on(affine, (1, *body.volume.shape[1:])).values
        data.PixelData = (plane.astype(np.int32) + 1024).astype("<i2").tobytes()
        data.ImagePositionPatient = [round(float(mm), 4) for mm in affine[:3, 3]]
    reach = int(depths[-1]) + 1
    whole = Volume(body.volume.values[:reach], body.volume.world_from_index)
    inside = body.volume.to_index(body.markers_mm)[:, 0] < reach - 2
    path = write_series(folder, slices, rng)
    return Built(path, whole, body.markers_mm[inside]) if truth else Built(path)


@GROUP.kind("spacing-changes", 9, "the step changes half way", corrections="SPACING_RESAMPLED", exact=False,
            settings=TIGHT)  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    first, second = [(1.0, 1.5), (1.5, 1.0), (1.25, 1.0)][rng.integers(3)]
    return _build_uneven(folder, rng, first, second, truth=True)


@GROUP.kind("spacing-changes-wide", 9, "the step grows to more than 5 mm", codes="SLICE_GAP", settings=TIGHT)
def _(folder: Path, rng: Generator) -> Built:
    return _build_uneven(folder, rng, round(float(rng.uniform(1, 2)), 1), float(rng.choice([5.5, 6, 7])), truth=False)


@GROUP.kind("slices-overlap", 10, "slices thicker than their step")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    thickness = round(body.volume.spacing_mm[0] * float(rng.uniform(1.5, 3)), 2)
    return build_series(folder, body, stack(body.volume, SliceThickness=thickness), rng)


@GROUP.kind("positions-jitter", 11, "positions off by up to 0.02 mm")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    for data in slices:
        data.ImagePositionPatient = [round(mm + float(rng.uniform(-0.02, 0.02)), 4) for mm in data.ImagePositionPatient]
    return build_series(folder, body, slices, rng)


# ---- tilted, turned and otherwise oriented stacks


def _shear(body: Body, angle_deg: float) -> Volume:
    """Return the body sampled on slices that slip along a row or column from one to the next."""
    affine = body.volume.world_from_index.copy()
    shift = affine[2, 0] * np.tan(np.radians(angle_deg))
    affine[1, 0] = shift
    affine[1, 3] -= shift * (body.volume.shape[0] - 1) / 2
    return body.on(affine, body.volume.shape)


def make_sheared(rng: Generator, low_deg: float, high_deg: float) -> tuple[Body, Volume]:
    """Return a body and its samples on a grid that is tilted by an angle from this range, one way or the other."""
    body = make_body(rng, shape=(22, 36, 32), spacing_mm=(1.6, 1.5, 1.3), texture=False, width=0.55)
    tilted = _shear(body, float(rng.choice([-1, 1]) * rng.uniform(low_deg, high_deg)))
    return crop(body, (0, 6, 0)), tilted  # at the ends the slices slip off by so many rows


def _build_tilt(folder: Path, rng: Generator, low_deg: float, high_deg: float) -> Built:
    body, tilted = make_sheared(rng, low_deg, high_deg)
    return Built(write_series(folder, stack(tilted), rng), body.volume, body.markers_mm)


for name, text, angles in (
    ("tilt-small", "gantry tilt of 0.3 to 3 degrees", (0.3, 3.0)), ("tilt", "gantry tilt of 5 to 25 degrees", (5, 25)),
):  # fmt: skip
    GROUP.add(name, 12, text, lambda folder, rng, angles=angles: _build_tilt(folder, rng, *angles), exact=False,
              corrections="TILT_CORRECTED")  # fmt: skip
GROUP.add("tilt-large", 12, "gantry tilt above 30 degrees", lambda folder, rng: _build_tilt(folder, rng, 32, 40),
          codes="GANTRY_TILT")  # fmt: skip


@GROUP.kind("names-reversed", 13, "file names against the order of the slices")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)[::-1]
    for index, data in enumerate(slices):
        data.InstanceNumber = index + 1
    return build_series(folder, body, slices)


@GROUP.kind("names-lie", 13, "file names and instance numbers in no order, over several folders")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    for data in slices:
        data.InstanceNumber = int(rng.integers(1, 5))
    built = build_series(folder, body, slices, rng)
    (built.path / "b").mkdir()
    for file in list(built.path.glob("*.dcm"))[::3]:
        file.rename(built.path / "b" / file.stem)  # without suffix
    return built


def turn(volume: Volume, signs: tuple[int, int, int]) -> Volume:
    """Return the volume stored with flipped axes; the same voxels at the same places."""
    values, affine = volume.values, volume.world_from_index.copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
            values = np.flip(values, axis)
    return Volume(values, affine)


def _build_turned(folder: Path, rng: Generator, position: str) -> Built:
    body = make_body(rng)
    # Columns, rows and slices run along (x, y, z) of the scanner, which the patient lies in otherwise.
    signs = {"FFS": (-1, 1, -1), "HFP": (1, -1, -1), "FFP": (-1, -1, 1)}.get(position)
    if signs is None:  # decubitus: rows and columns change places
        affine = body.volume.world_from_index[:, [0, 2, 1, 3]]
        stored = Volume(body.volume.values.transpose(0, 2, 1), affine)
        stored = turn(stored, (1, 1, -1) if position.endswith("DR") else (1, -1, 1))
    else:
        stored = turn(body.volume, signs)
    return build_series(folder, body, stack(stored, PatientPosition=position), rng)


GROUP.add("feet-first", 14, "feet first", lambda folder, rng: _build_turned(folder, rng, "FFS"))
GROUP.add("prone", 14, "prone", lambda folder, rng: _build_turned(folder, rng, str(rng.choice(["HFP", "FFP"]))),
          codes="NOT_SUPINE")  # fmt: skip
GROUP.add("on-one-side", 14, "decubitus",
          lambda folder, rng: _build_turned(folder, rng, str(rng.choice(["HFDR", "HFDL", "FFDL"]))),
          codes="NOT_SUPINE")  # fmt: skip


GROUP.add("prone-kept", 14, "prone, kept by the user",
          lambda folder, rng: _build_turned(folder, rng, str(rng.choice(["HFP", "FFP"]))), flags="NOT_SUPINE",
          settings=replace(SMALL, not_supine="keep"))  # fmt: skip


def _build_permuted(folder: Path, rng: Generator, order: tuple[int, int, int]) -> Built:
    body = make_body(rng)
    stored = Volume(body.volume.values.transpose(order), body.volume.world_from_index[:, [*order, 3]])
    signs = tuple(int(sign) for sign in rng.choice([-1, 1], 3))
    return build_series(folder, body, stack(turn(stored, signs)), rng)  # type: ignore[arg-type]


GROUP.add("coronal-slices", 15, "coronal slices", lambda folder, rng: _build_permuted(folder, rng, (1, 0, 2)))
GROUP.add("sagittal-slices", 15, "sagittal slices", lambda folder, rng: _build_permuted(folder, rng, (2, 0, 1)))


def make_oblique(rng: Generator) -> tuple[Body, Volume]:
    """Return a body and its samples on a grid turned by several degrees about its middle."""
    body = make_body(rng, shape=(26, 34, 36), spacing_mm=(1.5, 1.4, 1.3), texture=False, width=0.5)
    angles = rng.choice([-1, 1], 3) * rng.uniform(2, 8, 3)
    rotation = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    affine = body.volume.world_from_index.copy()
    affine[:3, :3] = rotation @ affine[:3, :3]
    center = body.volume.center_world_mm
    affine[:3, 3] = center + rotation @ (affine[:3, 3] - center)
    # The corners of the turned grid do not reach all of the straight one: only the middle can be judged.
    return crop(body, (6, 6, 6)), body.on(affine, body.volume.shape)


@GROUP.kind("oblique", 16, "slices turned by several degrees about all axes", corrections="OBLIQUE_RESAMPLED",
            exact=False)  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body, oblique = make_oblique(rng)
    return Built(write_series(folder, stack(oblique), rng), body.volume, body.markers_mm)
