"""Numbers that are not HU, or not quite (rows 25-30, 32-34, 51 and 52)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drrx.volume import Volume
from tests.battery.body import Body, free_slices, make_body
from tests.battery.kind import SMALL, Built, Group
from tests.battery.writing import (
    FORMATS,
    build_file,
    build_series,
    make_nifti,
    save_nifti,
    stack,
    write_image,
    write_series,
)  # fmt: skip
from tests.dicom_files import set_tags

GROUP = Group("HU")


def _build_rescale(folder: Path, rng: Generator, every: bool | None, **tags: Any) -> Built:
    slices = stack(make_body(rng).volume)
    every = bool(rng.random() < 0.5) if every is None else every
    for data in slices if every else [slices[rng.integers(len(slices))]]:
        set_tags(data, **tags)
    return Built(write_series(folder, slices, rng))


@GROUP.kind("rescale-absent", 25, "no RescaleSlope or no RescaleIntercept", codes="NO_RESCALE")
def _(folder: Path, rng: Generator) -> Built:
    some = [{"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleIntercept": None}, {"RescaleSlope": None}]
    return _build_rescale(folder, rng, None, **some[rng.integers(3)])


for name, text, values in (
    ("slope-zero", "RescaleSlope 0", ("0", "0.0", "-0")),
    ("slope-huge", "RescaleSlope above 10", ("11", "1000", "-64")),
    ("slope-not-finite", "RescaleSlope NaN or infinite", ("nan", "inf", "-inf")),
):  # fmt: skip
    GROUP.add(name, 26, text,
              lambda folder, rng, values=values: _build_rescale(folder, rng, True, RescaleSlope=rng.choice(values)),
              codes="BAD_RESCALE")  # fmt: skip


@GROUP.kind("intercept-varies", 27, "another intercept, and another slope, in each slice")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    for data, plane in zip(slices, body.volume.values, strict=True):
        intercept = int(rng.choice([-1024, -1000, 0, -8192]))
        data.RescaleIntercept = intercept
        data.PixelData = (plane.astype(np.int32) - intercept).astype("<i2").tobytes()
    return build_series(folder, body, slices, rng)


# ---- padding


def _find_outside(volume: Volume, rng: Generator) -> NDArray[np.bool_]:
    """Return what lies outside a round field of view."""
    _, rows, columns = volume.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return np.broadcast_to(np.hypot(x, y) > rng.uniform(0.95, 1.1), volume.shape)


def _pad(rng: Generator, hu: int) -> tuple[Body, Volume]:
    """Return a body with air outside a circle, and its volume with ``hu`` there."""
    body = make_body(rng)
    outside = _find_outside(body.volume, rng)
    air = body.volume.with_values(np.where(outside, np.int16(-1000), body.volume.values))
    return Body(air, body.markers_mm, body.width), air.with_values(np.where(outside, np.int16(hu), air.values))


@GROUP.kind("padding-named", 28, "padding as PixelPaddingValue says", corrections="PADDING_FILLED")
def _(folder: Path, rng: Generator) -> Built:
    hu = int(rng.choice([-1024, -2000, -3024, -1100]))
    body, padded = _pad(rng, hu)
    return build_series(folder, body, stack(padded, PixelPaddingValue=hu + 1024), rng)


@GROUP.kind("padding-range", 28, "padding as PixelPaddingRangeLimit says", corrections="PADDING_FILLED")
def _(folder: Path, rng: Generator) -> Built:
    body, padded = _pad(rng, -2000)
    values = padded.values.copy()
    values[values == -2000] -= rng.integers(0, 100, (values == -2000).sum()).astype(np.int16)
    ends = (-2000 + 1024, -2099 + 1024) if rng.random() < 0.5 else (-2099 + 1024, -2000 + 1024)
    tags = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}
    return build_series(folder, body, stack(padded.with_values(values), **tags), rng)


@GROUP.kind("padding-unnamed", 28, "padding far below air that no tag names", corrections="PADDING_FILLED")
def _(folder: Path, rng: Generator) -> Built:
    body, padded = _pad(rng, int(rng.choice([-1500, -2048, -3024])))
    if rng.random() < 0.4:
        path = write_series(folder, stack(padded), rng)
    else:
        path = write_image(folder / f"ct{rng.choice(FORMATS)}", padded)
    return Built(path, body.volume, body.markers_mm, others=(padded,))


@GROUP.kind("background-zero", 28, "a background of 0 HU around the round field", corrections="PADDING_FILLED")
def _(folder: Path, rng: Generator) -> Built:
    body, padded = _pad(rng, 0)
    return Built(write_image(folder / f"ct{rng.choice(FORMATS)}", padded), body.volume, body.markers_mm,
                 others=(padded,))  # fmt: skip


# ---- stored bits


def _build_bits(folder: Path, rng: Generator, signed: bool) -> Built:
    body = make_body(rng)
    slices = stack(body.volume, intercept=0 if signed else -1100)
    bits = 13 if signed else 12
    for data in slices:
        stored = np.frombuffer(data.PixelData, "<u2") & ((1 << bits) - 1)
        dirt = rng.integers(0, 1 << (16 - bits), stored.shape).astype("<u2") << bits
        data.PixelData = (stored | dirt).astype("<u2").tobytes()
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
    return build_series(folder, body, slices, rng)


GROUP.add("unused-bits-unsigned", 29, "12 unsigned bits, the four above them dirty",
          lambda folder, rng: _build_bits(folder, rng, False))  # fmt: skip
GROUP.add("unused-bits-signed", 29, "13 signed bits, the three above them dirty",
          lambda folder, rng: _build_bits(folder, rng, True))  # fmt: skip


@GROUP.kind("sign-lost", 30, "signed values called unsigned", codes="NOT_HU")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    if rng.random() < 0.5:
        return Built(write_series(folder, stack(body.volume, intercept=0, PixelRepresentation=0), rng))
    wrapped = body.volume.with_values(body.volume.values.view(np.uint16))
    return Built(write_image(folder / f"ct{rng.choice(FORMATS)}", wrapped))


@GROUP.kind("hu-plus-1024", 30, "HU + 1024 or + 1000: the intercept was lost", codes="HU_OFFSET")
def _(folder: Path, rng: Generator) -> Built:
    offset = int(rng.choice([1024, 1000]))
    if rng.random() < 0.3:
        return Built(write_series(folder, stack(make_body(rng).volume, RescaleIntercept=offset - 1024), rng))
    return build_file(folder, rng, lambda hu: hu + offset)


@GROUP.kind("hu-plus-1024-told", 30, "HU + 1024, and the user says so", corrections="HU_SHIFTED",
            settings=replace(SMALL, add_hu=-1024))  # fmt: skip
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    stored = body.volume.with_values(body.volume.values + np.int16(1024))
    if rng.random() < 0.5:
        return build_series(folder, body, stack(body.volume, RescaleIntercept=0), rng)
    return Built(write_image(folder / f"ct{rng.choice(FORMATS)}", stored), body.volume, body.markers_mm)


for name, text, change in (
    ("scaled-to-one", "HU scaled to 0..1", lambda hu: (hu - hu.min()) / np.ptp(hu)),
    ("scaled-to-255", "HU scaled to 0..255", lambda hu: np.rint(np.clip((hu + 1000) / 5, 0, 255))),
    ("standardised", "HU with mean 0 and deviation 1", lambda hu: (hu - hu.mean()) / hu.std()),
):
    GROUP.add(name, 30, text, lambda folder, rng, change=change: build_file(folder, rng, change), codes="NOT_HU")


def _build_plain(folder: Path, rng: Generator, hu: float, noise_hu: float) -> Built:
    """Nothing but one tissue: true HU, but no body."""
    volume = make_body(rng).volume
    volume = volume.with_values(np.rint(rng.normal(hu, noise_hu, volume.shape)).astype(np.int16))
    return Built(write_image(folder / f"ct{rng.choice(FORMATS)}", volume), volume)


for name, text, hu, noise in (
    ("all-air", "nothing but air", -1000, 8), ("all-water", "nothing but water", 0, 8),
    ("all-zero", "nothing but zeros", 0, 0),
):  # fmt: skip
    GROUP.add(name, 32, text, lambda folder, rng, hu=hu, noise=noise: _build_plain(folder, rng, hu, noise),
              codes="NOT_HU")  # fmt: skip


@GROUP.kind("contrast", 33, "a contrast agent", flags="CONTRAST")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    agent = str(rng.choice(["Omnipaque", "APPLIED", "iv"]))
    return build_series(folder, body, stack(body.volume, ContrastBolusAgent=agent), rng)


@GROUP.kind("metal", 34, "metal far above 3071 HU", corrections="METAL_CUT", flags="METAL")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    at = (int(rng.choice(free_slices(body))), body.volume.shape[1] // 2, body.volume.shape[2] // 2)
    bright, cut = body.volume.values.copy(), body.volume.values.copy()
    bright[at], cut[at] = int(rng.integers(4000, 30000)), 3071
    stored, truth = body.volume.with_values(bright), body.volume.with_values(cut)
    if rng.random() < 0.5:
        return Built(write_series(folder, stack(stored, intercept=0), rng), truth, body.markers_mm)
    return Built(write_image(folder / f"ct{rng.choice(FORMATS)}", stored), truth, body.markers_mm)


# ---- scaling and odd numbers in files


@GROUP.kind("nifti-slope-zero", 51, "scl_slope 0 or NaN with an offset", codes="BAD_RESCALE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    path = save_nifti(folder / "ct.nii", make_nifti(body.volume))
    data = bytearray(path.read_bytes())
    slope = float(rng.choice([0.0, np.nan, np.inf]))
    data[112:120] = np.array([slope, rng.choice([-1024, -1000])], "<f4").tobytes()
    path.write_bytes(data)
    return Built(path)


def _build_odd(folder: Path, rng: Generator, share: float, value: float) -> Built:
    body = make_body(rng)
    values, truth = body.volume.values.astype(np.float32), body.volume.values.copy()
    flat = rng.choice(values.size, max(1, int(share * values.size)), replace=False)
    far = np.linalg.norm(
        body.volume.to_world(np.stack(np.unravel_index(flat, values.shape), -1))[:, None] - body.markers_mm, axis=-1
    ).min(axis=1) > 8  # fmt: skip
    flat = flat[far]
    values.ravel()[flat], truth.ravel()[flat] = value, -1000
    path = write_image(folder / f"ct{rng.choice(FORMATS)}", body.volume.with_values(values))
    return Built(path, body.volume.with_values(truth), body.markers_mm)


GROUP.add("nan-few", 52, "a few NaN", lambda folder, rng: _build_odd(folder, rng, 8e-4, np.nan),
          corrections="NON_FINITE_FILLED")  # fmt: skip
GROUP.add("infinite-few", 52, "a few infinite voxels",
          lambda folder, rng: _build_odd(folder, rng, 8e-4, float(rng.choice([-np.inf, np.inf]))),
          corrections="NON_FINITE_FILLED")  # fmt: skip


@GROUP.kind("nan-many", 52, "many NaN", codes="NON_FINITE")
def _(folder: Path, rng: Generator) -> Built:
    return Built(_build_odd(folder, rng, float(rng.uniform(0.02, 0.5)), np.nan).path)
