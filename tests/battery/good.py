"""Inputs that are not odd, only varied: none of them may be refused, and all must come out to the bit."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.random import Generator

from drrx.io.nifti import ras_from_ijk
from drrx.volume import Volume
from tests.battery.body import make_body
from tests.battery.geometry import make_oblique, turn
from tests.battery.kind import Built, Group
from tests.battery.nifti_files import change_header
from tests.battery.writing import build_series, make_nifti, save_nifti, stack, write_image, write_series

GROUP = Group("good")
ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def _build(folder: Path, rng: Generator, *, bits: int = 16, intercept: int = -1024, **tags: Any) -> Built:
    body = make_body(rng)
    slices = stack(body.volume, intercept=intercept, **tags)
    for data in slices if bits < 16 else []:
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 0
    return build_series(folder, body, slices, rng)


for name, text, how in (
    ("ge", "GE: 16 bits signed", {"Manufacturer": "GE MEDICAL SYSTEMS", "ConvolutionKernel": "STANDARD"}),
    ("siemens", "Siemens: 12 bits unsigned, a kernel of two words",
     {"Manufacturer": "SIEMENS", "bits": 12, "ConvolutionKernel": ["I31f", "3"]}),
    ("philips", "Philips: 12 bits unsigned, offset -1100",
     {"Manufacturer": "Philips", "bits": 12, "intercept": -1100, "ConvolutionKernel": "B"}),
    ("canon", "Canon: HU as they are", {"Manufacturer": "TOSHIBA", "intercept": 0, "ConvolutionKernel": "FC08"}),
    ("unknown-scanner", "no maker, kernel, position or description",
     {"Manufacturer": "", "ConvolutionKernel": "", "PatientPosition": "", "SeriesDescription": ""}),
    ("derived", "a derived series of five image types",
     {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI", "RESAMPLED"]}),
    ("padding-unused", "a PixelPaddingValue that no voxel has", {"PixelPaddingValue": -32768}),
):  # fmt: skip
    GROUP.add(f"good-{name}", "good", text, lambda folder, rng, how=how: _build(folder, rng, **how))


def _build_slope(folder: Path, rng: Generator, slope: float) -> Built:
    body = make_body(rng)
    stored = np.rint((body.volume.values + 1024.0) / slope)
    slices = stack(body.volume, RescaleSlope=slope)
    for data, plane in zip(slices, stored.astype("<i2"), strict=True):
        data.PixelData = plane.tobytes()
    truth = body.volume.with_values(np.rint(stored * slope - 1024).astype(np.int16))
    return Built(write_series(folder, slices, rng), truth, body.markers_mm)


for slope in (2.0, 0.5, 0.25):
    GROUP.add(f"good-slope-{slope:g}".replace(".", ""), "good", f"RescaleSlope {slope:g}",
              lambda folder, rng, slope=slope: _build_slope(folder, rng, slope))  # fmt: skip


def _build_step(folder: Path, rng: Generator, step_mm: float, thickness_mm: float) -> Built:
    body = make_body(rng, spacing_mm=(step_mm, *(round(float(mm), 3) for mm in rng.uniform(0.5, 0.98, 2))))
    return build_series(folder, body, stack(body.volume, SliceThickness=thickness_mm), rng)


for step, thickness in ((0.5, 0.75), (0.625, 1.25), (0.8, 1.0), (1.0, 1.0), (1.25, 2.5), (2.5, 2.5), (3.0, 5.0)):
    GROUP.add(f"good-step-{step:g}".replace(".", ""), "good", f"{thickness:g} mm slices every {step:g} mm",
              lambda folder, rng, how=(step, thickness): _build_step(folder, rng, *how))  # fmt: skip
GROUP.add("good-step-5", "good", "5 mm slices every 5 mm", lambda folder, rng: _build_step(folder, rng, 5.0, 5.0),
          flags="THICK_SLICES")  # fmt: skip


def _build_placed(folder: Path, rng: Generator, place: str) -> Built:
    """Files of other names, in other folders, or one file that stands for its series."""
    built = _build(folder, rng)
    files = sorted(built.path.iterdir())
    if place == "file":
        return Built(files[rng.integers(len(files))], built.truth, built.markers_mm)
    for index, file in enumerate(files):
        target = built.path / ("deep/er/" if place == "deep" else "")
        target.mkdir(parents=True, exist_ok=True)
        file.rename(target / {"bare": f"IM{index}", "ima": f"{index}.IMA", "deep": f"{index}.DCM"}[place])
    return built


for place, text in (("file", "one file of a series"), ("bare", "names without suffix"), ("ima", "names ending in .IMA"),
                    ("deep", "files below several folders")):  # fmt: skip
    GROUP.add(f"good-place-{place}", "good", text, lambda folder, rng, place=place: _build_placed(folder, rng, place))


@GROUP.kind("good-first-number", "good", "instance numbers that count from 0, or none")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices, none = stack(body.volume), rng.random() < 0.5
    for index, data in enumerate(slices):
        data.InstanceNumber = None if none else index
    return build_series(folder, body, slices, rng)


@GROUP.kind("good-private-tags", "good", "private tags, an icon and window settings")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume, WindowCenter=[40, -600], WindowWidth=[400, 1500], BurnedInAnnotation="NO")
    for data in slices:
        block = data.private_block(0x0029, "BATTERY", create=True)
        block.add_new(0x01, "OB", rng.bytes(400))
        icon = stack(Volume(body.volume.values[:1, :8, :8], body.volume.world_from_index))[0]
        data.IconImageSequence = [icon]
    return build_series(folder, body, slices, rng)


@GROUP.kind("good-oblique", "good", "an oblique NIfTI", corrections="OBLIQUE_RESAMPLED", exact=False)
def _(folder: Path, rng: Generator) -> Built:
    body, oblique = make_oblique(rng)
    return Built(save_nifti(folder / "ct.nii.gz", make_nifti(oblique)), body.volume, body.markers_mm)


def permute(volume: Volume, rng: Generator) -> Volume:
    """Return the volume stored in another order and direction of axes."""
    order = ORDERS[rng.integers(6)]
    stored = Volume(volume.values.transpose(order), volume.world_from_index[:, [*order, 3]])
    return turn(stored, tuple(int(sign) for sign in rng.choice([-1, 1], 3)))  # type: ignore[arg-type]


def _build_file(folder: Path, rng: Generator, suffix: str, compress: bool) -> Built:
    body = make_body(rng)
    stored = permute(body.volume, rng)
    kind = rng.choice([np.int16, np.int32, np.float32, np.float64])
    stored = stored.with_values(np.ascontiguousarray(stored.values.astype(kind)))
    return Built(write_image(folder / f"ct{suffix}", stored, compress=compress), body.volume, body.markers_mm)


for suffix, compress in ((".nii", False), (".nii.gz", True), (".mha", False), (".mha", True), (".mhd", False),
                         (".mhd", True), (".nrrd", False), (".nrrd", True), (".nhdr", False)):  # fmt: skip
    GROUP.add(f"good{suffix.replace('.', '-')}{'-packed' if compress and suffix != '.nii.gz' else ''}", "good",
              f"{suffix}{', compressed' if compress else ''}, axes in any order, several types of number",
              lambda folder, rng, how=(suffix, compress): _build_file(folder, rng, *how))  # fmt: skip


def _build_nifti(folder: Path, rng: Generator, change: Any, kind: Any = nib.Nifti1Image) -> Built:
    body = make_body(rng)
    image = make_nifti(permute(body.volume, rng), kind=kind)
    change(image)
    return Built(save_nifti(folder / "ct.nii.gz", image), body.volume, body.markers_mm)


GROUP.add("good-nifti-2", "good", "NIfTI-2", lambda folder, rng: _build_nifti(folder, rng, lambda image: None,
                                                                              nib.Nifti2Image))  # fmt: skip
for name, text, change in (
    ("qform", "a NIfTI with qform only", lambda image: image.set_sform(None, 0)),
    ("sform", "a NIfTI with sform only", lambda image: image.set_qform(None, 0)),
    ("unscaled", "a NIfTI that says nothing of scaling", lambda image: image.header.set_slope_inter(None, None)),
):
    GROUP.add(f"good-nifti-{name}", "good", text,
              lambda folder, rng, change=change: _build_nifti(folder, rng, change))  # fmt: skip


@GROUP.kind("good-nifti-scaled", "good", "a NIfTI with slope and offset")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    path = save_nifti(folder / "ct.nii", make_nifti(body.volume, (body.volume.values.T + 1024) // 1))
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([1, -1024], "<f4").tobytes()
    packed = folder / "ct.nii.gz"
    packed.write_bytes(gzip.compress(data, mtime=0))
    return Built(packed, body.volume, body.markers_mm)


@GROUP.kind("good-nrrd-spaces", "good", "an NRRD in RAS or LAS")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    space, signs = [("right-anterior-superior", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1))][rng.integers(2)]
    flipped = Volume(body.volume.values, np.diag([*signs, 1.0]) @ body.volume.world_from_index)
    image = sitk.GetImageFromArray(flipped.values)
    spacing = np.array(flipped.spacing_mm)
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(flipped.world_from_index[:3, 3].tolist())
    image.SetDirection((flipped.world_from_index[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    path = folder / "ct.nrrd"
    sitk.WriteImage(image, str(path))
    change_header(path, lambda text: text.replace("left-posterior-superior", space))
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("good-big-endian", "good", "a big-endian NIfTI")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    header = nib.Nifti1Header(endianness=">")
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(body.volume.values.T.astype(">i2"), ras_from_ijk(body.volume), header)
    return Built(save_nifti(folder / "ct.nii", image), body.volume, body.markers_mm)


GOOD = GROUP.kinds
