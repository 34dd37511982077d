"""Other objects than CT slices, and odd bytes in DICOM files (rows 36, 38, 39, 41, 43, 55, 58 and 59)."""

from pathlib import Path

import pydicom
from numpy.random import Generator
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from tests.battery.body import crop, make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import build_series, stack, write_series

GROUP = Group("DICOM object")


@GROUP.kind("other-modality", 36, "MR, PET, CBCT-angiography or a secondary capture called CT", codes="NOT_CT")
def _(folder: Path, rng: Generator) -> Built:
    modality, sop_class = [
        ("MR", "1.2.840.10008.5.1.4.1.1.4"), ("PT", "1.2.840.10008.5.1.4.1.1.128"), ("MR", "1.2.840.10008.5.1.4.1.1.2"),
        ("CT", "1.2.840.10008.5.1.4.1.1.4"), ("CT", "1.2.840.10008.5.1.4.1.1.7"),
        ("XA", "1.2.840.10008.5.1.4.1.1.13.1.1"),
    ][rng.integers(6)]  # fmt: skip
    return Built(write_series(folder, stack(make_body(rng).volume, Modality=modality, SOPClassUID=sop_class), rng))


@GROUP.kind("only-scouts", 36, "nothing but scouts", codes="NOT_CT")
def _(folder: Path, rng: Generator) -> Built:
    body, count = make_body(rng), int(rng.integers(8, 15))
    slices = stack(body.volume, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    part = crop(body, (0, 0, 0), count)
    return Built(write_series(folder, slices[:count], rng), part.volume, part.markers_mm)


@GROUP.kind("no-dicom", 36, "a folder without any DICOM file", codes="NOT_CT")
def _(folder: Path, rng: Generator) -> Built:
    (folder / "series").mkdir()
    for index in range(rng.integers(0, 4)):
        (folder / "series" / f"{index}.txt").write_bytes(rng.bytes(200))
    return Built(folder / "series")


# ---- files without meta information, cut files, junk


@GROUP.kind("no-preamble", 39, "old files without preamble and meta information", flags="NO_PREAMBLE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    implicit, bare = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    for file in list(built.path.iterdir()):
        dataset = pydicom.dcmread(file)
        del dataset.file_meta
        dataset.preamble = None
        file.unlink()
        name = file.stem if bare else file.name
        dataset.save_as(file.with_name(name), implicit_vr=implicit, little_endian=True)
    return built


def _cut(built: Built, rng: Generator, low: float, high: float) -> Built:
    file = sorted(built.path.iterdir())[rng.integers(len(list(built.path.iterdir())))]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * rng.uniform(low, high))])
    return Built(built.path)


def _build_cut(folder: Path, rng: Generator, low: float, high: float) -> Built:
    body = make_body(rng)
    return _cut(build_series(folder, body, stack(body.volume), rng), rng, low, high)


for name, text, share in (
    ("dicom-cut-in-pixels", "a file cut within its pixels", (0.6, 0.999)),
    ("dicom-cut-in-header", "a file cut within its header", (0.1, 0.35)),
):
    GROUP.add(name, 41, text, lambda folder, rng, share=share: _build_cut(folder, rng, *share), codes="CORRUPT_FILE")


@GROUP.kind("dicom-empty-file", 43, "an empty .dcm file among the slices", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    built = _build_cut(folder, rng, 0, 0)
    if rng.random() < 0.5:
        (built.path / "zz.dcm").touch()
    return built


@GROUP.kind("dicom-text-file", 43, "text or noise called .dcm among the slices", codes="CORRUPT_FILE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    noise = rng.bytes(int(rng.integers(50, 5000)))
    (built.path / "notes.dcm").write_bytes(noise if rng.random() < 0.5 else b"Patient moved during the scan.\n" * 20)
    return built


@GROUP.kind("junk-beside", 43, "Thumbs.db, ._ files, __MACOSX, .DS_Store, DICOMDIR and a text beside the slices")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    (built.path / "__MACOSX").mkdir()
    (built.path / ".hidden").mkdir()
    names = ["Thumbs.db", "._000.dcm", ".DS_Store", "__MACOSX/._001.dcm", "readme.txt", ".hidden/0.dcm", "DICOMDIR"]
    for name in rng.permutation(names)[: rng.integers(3, 8)]:
        (built.path / str(name)).write_bytes(rng.bytes(300))
    return built


# ---- names, preambles, nested sequences


@GROUP.kind("names-not-ascii", 55, "patient names in other alphabets, also under a wrong character set")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    name, charset, written = [
        ("Müller^Jürgen", "ISO_IR 100", "latin-1"), ("Yamada^Tarou=山田^太郎", "ISO_IR 192", "utf-8"),
        ("Люксембург^Роза", "ISO_IR 144", "iso8859-5"), ("Müller^Jürgen", "ISO_IR 13", "utf-8"),
        ("王^小东", "GB18030", "gb18030"),
    ][rng.integers(5)]  # fmt: skip
    raw = name.encode(written)
    built = build_series(folder, body, stack(body.volume, PatientName="N" * len(raw), SpecificCharacterSet=charset))
    for file in built.path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"N" * len(raw), raw))
    return Built(built.path, built.truth, built.markers_mm, secrets=(raw, name.encode()))


@GROUP.kind("preamble-program", 58, "a program in the preamble of each file")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    magic = [b"MZ\x90\x00", b"\x7fELF", b"#!/bin/sh\n", b"II*\x00"][rng.integers(4)]
    program = magic + b"PROGRAM" + rng.bytes(128 - len(magic) - 7)
    for file in built.path.iterdir():
        file.write_bytes(program + file.read_bytes()[128:])
    return Built(built.path, built.truth, built.markers_mm, secrets=(program[: len(magic) + 12],))


def nest(depth: int, known_length: bool) -> bytes:
    """Return a private sequence nested ``depth`` times, in explicit little endian."""
    data = b""
    for _ in range(depth):
        size = (len(data) if known_length else 0xFFFFFFFF).to_bytes(4, "little")
        item = b"\xfe\xff\x00\xe0" + size + data + (b"" if known_length else b"\xfe\xff\x0d\xe0\x00\x00\x00\x00")
        size = (len(item) if known_length else 0xFFFFFFFF).to_bytes(4, "little")
        end = b"" if known_length else b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
        data = b"\x09\x00\x10\x10SQ\x00\x00" + size + item + end
    return data


def _build_nested(folder: Path, rng: Generator, depth: int, known_length: bool) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    for data in slices:
        data.PatientID = "id"
    built = build_series(folder, body, slices, rng)
    creator = b"\x09\x00\x10\x00LO\x08\x00BATTERY "
    for file in [sorted(built.path.iterdir())[rng.integers(len(slices))]]:
        data = file.read_bytes()
        at = data.index(b"\x10\x00\x10\x00PN")  # before the patient module: group 0009 belongs there
        file.write_bytes(data[:at] + creator + nest(depth, known_length) + data[at:])
    return built


GROUP.add("nested-some", 59, "sequences nested 5 to 40 deep",
          lambda folder, rng: _build_nested(folder, rng, int(rng.integers(5, 40)),
                                            bool(rng.random() < 0.5)))  # fmt: skip
GROUP.add("nested-deep", 59, "sequences of known length nested 1 000 to 3 000 deep",
          lambda folder, rng: _build_nested(folder, rng, int(rng.integers(1000, 3000)), True))  # fmt: skip
GROUP.add("nested-deep-open", 59, "sequences of open length nested 1 000 to 3 000 deep",
          lambda folder, rng: _build_nested(folder, rng, int(rng.integers(1000, 3000)), False),
          codes="CORRUPT_FILE")  # fmt: skip


@GROUP.kind("no-decoder", 38, "a compression without a safe decoder (JPEG lossless)", codes="NO_DECODER")
def _(folder: Path, rng: Generator) -> Built:
    built = build_series(folder, make_body(rng), stack(make_body(rng).volume), rng)
    files = sorted(built.path.iterdir())
    for file in files if rng.random() < 0.5 else files[: rng.integers(1, 5)]:
        data = pydicom.dcmread(file)
        data.PixelData = encapsulate([rng.bytes(200)])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        data.save_as(file)
    return Built(built.path)
