"""Transfer syntaxes (row 38)."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.random import Generator
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)  # fmt: skip

from tests.battery.body import make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import build_series, stack

GROUP = Group("codec")


def build_encoded(folder: Path, rng: Generator, syntax: str, **how: Any) -> Built:
    """Write a series in a transfer syntax; signed or not, with spare bits or not."""
    large = syntax in (JPEG2000Lossless, JPEG2000)  # its encoder wants 32 pixels
    body = make_body(rng, shape=(20, 36, 40) if large else None)
    unsigned = bool(rng.random() < 0.5)
    slices = stack(body.volume, intercept=-1100) if unsigned else stack(body.volume)
    for data in slices if unsigned else []:
        data.PixelRepresentation, data.BitsStored, data.HighBit = 0, 12, 11
    built = build_series(folder, body, slices, rng)
    for file in built.path.iterdir():
        data = pydicom.dcmread(file)
        _encode(data, syntax, how)
        data.save_as(file, enforce_file_format=True)
    return built


def _encode(data: Any, syntax: str, how: dict[str, Any]) -> None:
    if syntax in (RLELossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000):
        data.compress(syntax, generate_instance_uid=False, **how)
        if how:
            data.LossyImageCompression = "01"
        return
    if syntax == ExplicitVRBigEndian:
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    data["PixelData"].VR = "OW"
    dataset = pydicom.Dataset(data)  # forget the encoding that it was read in
    data._dict = dataset._dict
    data._read_implicit = data._read_little = None


for name, text, syntax in (
    ("codec-rle", "RLE", RLELossless), ("codec-jpeg-ls", "JPEG-LS lossless", JPEGLSLossless),
    ("codec-jpeg-2000", "JPEG 2000 lossless", JPEG2000Lossless),
    ("codec-deflated", "deflated", DeflatedExplicitVRLittleEndian),
    ("codec-big-endian", "big endian", ExplicitVRBigEndian), ("codec-implicit", "implicit VR", ImplicitVRLittleEndian),
):  # fmt: skip
    GROUP.add(name, 38, text, lambda folder, rng, syntax=syntax: build_encoded(folder, rng, syntax))
GROUP.add("codec-jpeg-2000-lossy", 38, "JPEG 2000, lossy",
          lambda folder, rng: build_encoded(folder, rng, JPEG2000, j2k_cr=[float(rng.uniform(1.5, 2))]),
          flags="LOSSY", exact=False)  # fmt: skip
GROUP.add("codec-jpeg-ls-lossy", 38, "JPEG-LS, near lossless",
          lambda folder, rng: build_encoded(folder, rng, JPEGLSNearLossless, jls_error=int(rng.integers(1, 6))),
          flags="LOSSY", exact=False)  # fmt: skip
