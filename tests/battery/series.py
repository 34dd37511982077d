"""Several things in one DICOM folder (rows 1-6, 19, 57)."""

from pathlib import Path

import numpy as np
from numpy.random import Generator
from pydicom.dataset import Dataset

from drrx.volume import Volume
from tests.battery.body import Body, make_body
from tests.battery.kind import Built, Group
from tests.battery.writing import build_series, stack, write_series

GROUP = Group("series")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


def _add_hu(body: Body, hu: int) -> Volume:
    return body.volume.with_values((body.volume.values + hu).astype(np.int16))


def _thin_out(volume: Volume, step: int) -> Volume:
    return Volume(volume.values[::step], volume.world_from_index @ np.diag([float(step), 1, 1, 1]))


@GROUP.kind("series-thick-and-thin", 1, "a thick and a thin reconstruction", corrections="SERIES_CHOSEN")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng, shape=(23, 26, 30))
    write_series(folder, stack(_thin_out(body.volume, 2), series="1.2.4"), rng, f"all/{rng.choice(['a', 'z'])}")
    built = build_series(folder / "all", body, stack(body.volume), rng)
    return Built(folder / "all", built.truth, built.markers_mm)


@GROUP.kind("series-soft-and-sharp", 1, "a soft and a sharp kernel, otherwise equal", corrections="SERIES_CHOSEN")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    soft, sharp = [("STANDARD", "LUNG"), ("B30f", "B70f"), ("FC08", "FC51"), ("B", "D")][rng.integers(4)]
    maker = {"S": "GE MEDICAL SYSTEMS", "B3": "SIEMENS", "F": "TOSHIBA", "B": "Philips"}
    name = maker.get(soft[:2], maker.get(soft[0], ""))
    uids = ("1.2.3", "1.2.4") if rng.random() < 0.5 else ("1.2.4", "1.2.3")
    for uid, kernel, volume in zip(uids, (soft, sharp), (body.volume, _add_hu(body, 15)), strict=True):
        write_series(folder, stack(volume, series=uid, ConvolutionKernel=kernel, Manufacturer=name), rng, f"all/{uid}")
    return Built(folder / "all", body.volume, body.markers_mm, others=(_add_hu(body, 15),))


@GROUP.kind("series-long-and-short", 1, "a whole scan and a few of its slices once more", corrections="SERIES_CHOSEN")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    start = int(rng.integers(2, 6))
    part = Volume(_add_hu(body, 15).values[start : start + 8], body.volume.world_from_index.copy())
    part.world_from_index[:3, 3] = body.volume.to_world(np.array([start, 0, 0]))
    write_series(folder, stack(part, series="1.2.4"), rng, "all/part")
    write_series(folder, stack(body.volume), rng, "all/whole")
    return Built(folder / "all", body.volume, body.markers_mm)


@GROUP.kind("series-equally-good", 1, "two series that nothing tells apart but the pixels", codes="SERIES_AMBIGUOUS")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    other = _add_hu(body, int(rng.integers(15, 60)))
    for uid, volume in (("1.2.3", body.volume), ("1.2.4", other)):
        write_series(folder, stack(volume, series=uid), rng, f"all/{uid}")
    return Built(folder / "all", body.volume, body.markers_mm, others=(other,))


@GROUP.kind("series-named", 1, "two equal series, and the user names one")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    other = _add_hu(body, 40)
    for uid, volume in (("1.2.3", other), ("1.2.4", body.volume)):
        write_series(folder, stack(volume, series=uid), rng, f"all/{uid}")
    return Built(folder / "all", body.volume, body.markers_mm, series_uid="1.2.4")


def _make_scout(body: Body, rng: Generator, **tags: object) -> list[Dataset]:
    """One coronal or sagittal slice through the middle."""
    axes = [1, 0, 2] if rng.random() < 0.5 else [2, 0, 1]
    volume = body.volume
    affine = volume.world_from_index[:, [*axes, 3]].copy()
    turned = Volume(volume.values.transpose(axes), affine)
    affine[:3, 3] += affine[:3, 0] * (turned.shape[0] // 2) + affine[:3, 1] * (turned.shape[1] - 1)
    affine[:3, 1] *= -1
    middle = turned.shape[0] // 2
    scout = stack(Volume(turned.values[middle : middle + 1, ::-1], affine), **tags)  # type: ignore[arg-type]
    scout[0].SOPInstanceUID = "1.2.99.7"
    return scout


def _build_scout(folder: Path, rng: Generator, **tags: object) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    scout = _make_scout(body, rng, **tags)
    write_series(folder, scout, name=str(rng.choice(["series/0", "series/zz"])))
    return built


LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
for name, text, tags in (
    ("scout-own-series", "a scout with its own series UID", {"series": "1.2.9", "ImageType": LOCALIZER}),
    ("scout-same-series", "a scout within the series", {"ImageType": LOCALIZER}),
    ("scout-unmarked", "a scout within the series that does not say so", {}),
    ("scout-own-series-unmarked", "a scout with its own series UID that does not say so", {"series": "1.2.9"}),
):
    GROUP.add(name, 2, text, lambda folder, rng, tags=tags: _build_scout(folder, rng, **tags),
              corrections="OTHER_DROPPED")  # fmt: skip


def _build_beside(folder: Path, rng: Generator, sop_class: str, modality: str, pixels: bool, **tags: object) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    plane = Volume(body.volume.values[:1], body.volume.world_from_index)
    (other,) = stack(plane, series="1.2.8", SOPClassUID=sop_class, Modality=modality, **tags)
    if not pixels:
        for name in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(other, name)
    elif rng.random() < 0.5:
        other.SeriesInstanceUID = "1.2.3"
    write_series(folder, [other], name=str(rng.choice(["series/0", "series/other"])))
    return built


for name, text, sop_class, modality, pixels in (
    ("screen-save", "a dose report as a screen save", SECONDARY_CAPTURE, "OT", True),
    ("report", "a structured report without pixels", STRUCTURED_REPORT, "SR", False),
    ("contours", "a set of contours (RTSTRUCT)", STRUCTURES, "RTSTRUCT", False),
):
    GROUP.add(name, 3, text, lambda folder, rng, more=(sop_class, modality, pixels): _build_beside(folder, rng, *more),
              corrections="OTHER_DROPPED")  # fmt: skip


@GROUP.kind("slice-twice", 4, "files given twice", corrections="DUPLICATES_DROPPED")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume))
    (built.path / "more").mkdir()
    for index in rng.choice(body.volume.shape[0], rng.integers(1, 4), replace=False):
        name = rng.choice(["more/copy", "aa", "zz"])
        (built.path / f"{name}{index:03d}.dcm").write_bytes((built.path / f"{index:03d}.dcm").read_bytes())
    return built


@GROUP.kind("place-twice", 5, "two slices with other pixels at one place", codes="DUPLICATE_POSITION")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    index = int(rng.integers(len(slices)))
    extra = stack(_add_hu(body, int(rng.integers(20, 90))))[index]
    extra.SOPInstanceUID = "1.2.3.777"
    return Built(write_series(folder, [*slices, extra], rng))


def _build_phases(folder: Path, rng: Generator, tag: str) -> Built:
    body = make_body(rng)
    late = stack(_add_hu(body, 30))
    cut = int(rng.integers(0, 4))  # the other phase may lack slices at its end
    for data in late:
        data.SOPInstanceUID += ".5"
    first = stack(body.volume)
    for number, phase in ((1, first), (2, late)):
        for data in phase:
            setattr(data, tag, number)
    others = () if cut else (_add_hu(body, 30),)
    path = write_series(folder, [*first, *late[: len(late) - cut]], rng)
    return Built(path, body.volume, body.markers_mm, others=others)


for tag in ("AcquisitionNumber", "TemporalPositionIdentifier"):
    GROUP.add(f"phases-by-{tag[:8].lower()}", 6, f"two phases in one series, told apart by {tag}",
              lambda folder, rng, tag=tag: _build_phases(folder, rng, tag), corrections="PHASE_CHOSEN")  # fmt: skip


@GROUP.kind("phases-unmarked", 6, "two phases in one series, told apart by nothing", codes="DUPLICATE_POSITION")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    late = stack(_add_hu(body, int(rng.integers(10, 40))))
    for data in late:
        data.SOPInstanceUID += ".5"
    return Built(write_series(folder, [*stack(body.volume), *late], rng))


def _build_split(folder: Path, rng: Generator, parts: int, **tags: object) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    cuts = np.sort(rng.choice(np.arange(6, len(slices) - 5, 5), parts - 1, replace=False))
    for part, (low, high) in enumerate(zip(cuts, [*cuts[1:], len(slices)], strict=True)):
        for data in slices[low:high]:
            data.SeriesInstanceUID = f"1.2.{4 + part}"
            for tag, value in tags.items():
                setattr(data, tag, value)
    return build_series(folder, body, slices, rng)


GROUP.add("scan-in-two-series", 19, "one scan in two series", lambda folder, rng: _build_split(folder, rng, 2),
          corrections="SERIES_JOINED")  # fmt: skip
GROUP.add("scan-in-three-series", 19, "one scan in three series", lambda folder, rng: _build_split(folder, rng, 3),
          corrections="SERIES_JOINED")  # fmt: skip


@GROUP.kind("scan-in-unequal-series", 19, "one scan in two series of different scan settings", codes="SERIES_SPLIT")
def _(folder: Path, rng: Generator) -> Built:
    other = [{"ConvolutionKernel": "LUNG"}, {"PixelSpacing": [1.21, 1.21]}, {"RescaleIntercept": -1000}]
    built = _build_split(folder, rng, 2, **other[rng.integers(3)])
    return Built(built.path)


@GROUP.kind("burned-in", 57, "text burned into the slices", codes="BURNED_IN")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    for data in slices if rng.random() < 0.5 else [slices[rng.integers(len(slices))]]:
        data.BurnedInAnnotation = "YES"
    return build_series(folder, body, slices, rng)


@GROUP.kind("burned-in-scout", 57, "text burned into the scout only", corrections="OTHER_DROPPED")
def _(folder: Path, rng: Generator) -> Built:
    return _build_scout(folder, rng, series="1.2.9", ImageType=LOCALIZER, BurnedInAnnotation="YES")
