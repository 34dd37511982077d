"""Any CT stored as NIfTI: own header pass, then voxels proved whole."""

import math
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import check_affine
from drrx.io.nifti import lps_from_index
from drrx.io.reading import (
    MAX_INTERCEPT_HU,
    MAX_SLOPE,
    Reading,
    apply_rescale,
    check_number_type,
    check_shape,
    is_sane_rescale,
    make_header_error,
)
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import check_expansion, measure_file, open_stream, read_array, read_exactly, skip_bytes
from drrx.volume import Volume

SAME_TRANSFORM_MM = 0.5
#: Codes of real numbers up to 64 bits, then of bits, colours and complex numbers; floats of 128 bits differ by machine.
NUMBER_TYPES = (2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280, 1, 32, 128, 1792, 2304)
#: Length units of xyzt_units in mm; code 0 (unknown) and others count as mm, as in every reader.
UNITS_MM = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}


def read_nifti(path: Path, settings: ReadCtSettings) -> Reading:
    """Read a NIfTI-1 or NIfTI-2 file (``.nii``, ``.nii.gz``) as LPS mm.

    Raises
    ------
    CaseRefused
        ``FILE_MISSING``, ``FILE_UNREADABLE``, ``BAD_HEADER``, ``CORRUPT_FILE``, ``NOT_3D``, ``TOO_LARGE``,
        ``NO_ORIENTATION``, ``NIFTI_TRANSFORM``, ``BAD_RESCALE``.
    """
    # Numbers that are not finite are looked for, and need no warning (some NaN give one when they are copied).
    with open_stream(path) as stream, np.errstate(all="ignore"):
        header, used = read_header(stream, path)
        sizes = check_shape(path.name, header.get_data_shape(), settings)
        dtype = header.get_data_dtype()
        affine = _choose_transform(path, header, settings)
        unit, factor = UNITS_MM.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
        affine[:3] *= factor
        check_affine(path, affine)
        slope, intercept = _read_rescale(path, header)
        num_bytes = math.prod(sizes) * dtype.itemsize
        check_expansion(path, num_bytes, *measure_file(stream), settings.max_compression)
        skip_bytes(stream, int(header["vox_offset"]) - used, path)
        values = read_array(stream, dtype, tuple(sizes[::-1]), path)
        values = apply_rescale(values, slope, intercept)
    reading = Reading(Volume(values, lps_from_index(affine)), source={"format": "nifti"})
    if factor != 1.0:
        reading.correct("UNITS_CONVERTED", f"spacing and place from {unit} to mm, times {factor:g}")
    return reading


def read_header(stream: IO[bytes], path: Path) -> tuple[Any, int]:
    """Return a header (nibabel's) whose fields fit each other, and its length in bytes; ``BAD_HEADER`` otherwise."""
    start = bytes(read_exactly(stream, 4, path))
    found = {(int.from_bytes(start, order), end) for order, end in (("little", "<"), ("big", ">"))}  # type: ignore[arg-type]
    size, endianness = next((item for item in found if item[0] in (348, 540)), (0, "<"))
    if not size:
        raise make_header_error(path, "no NIfTI header", "NIfTI-1 or NIfTI-2 data")
    kind: Any = nib.Nifti2Header if size == 540 else nib.Nifti1Header
    header: Any = kind(start + bytes(read_exactly(stream, size - 4, path)), endianness, check=False)
    magic, offset = bytes(header["magic"]), float(header["vox_offset"])
    if magic[:3] != (b"n+2" if size == 540 else b"n+1"):
        raise make_header_error(path, "a header without its data (.hdr/.img pair?)", "a single .nii or .nii.gz file")
    if not (offset.is_integer() and size + 4 <= offset <= 1e15):
        raise make_header_error(
            path, f"voxels that begin at byte {offset:g}", f"a place after the {size + 4} of header"
        )
    _check_fields(path, header)
    return header, size


def _check_fields(path: Path, header: Any) -> None:
    dim, pixdim = header["dim"], header["pixdim"].astype(np.float64)
    if not 1 <= int(dim[0]) <= 7 or (dim[1 : 1 + int(dim[0])] < 1).any():
        raise make_header_error(path, f"dim {dim.tolist()}", "1 to 7 sizes above zero")
    if int(header["datatype"]) not in NUMBER_TYPES:
        raise make_header_error(path, f"datatype {int(header['datatype'])}", "a number type of NIfTI, up to 64 bits")
    dtype = header.get_data_dtype()
    check_number_type(path.name, dtype)
    if int(header["bitpix"]) not in (0, 8 * dtype.itemsize):
        raise make_header_error(path, f"{int(header['bitpix'])} bits for {dtype}", f"{8 * dtype.itemsize} bits")
    if not (np.isfinite(pixdim[1:4]).all() and (pixdim[1:4] > 0).all()):
        raise make_header_error(path, f"pixdim {pixdim[1:4].tolist()}", "a spacing above zero")


def _choose_transform(path: Path, header: Any, settings: ReadCtSettings) -> NDArray[np.float64]:
    sform = header.get_sform() if int(header["sform_code"]) > 0 else None
    qform = _read_qform(path, header) if int(header["qform_code"]) > 0 else None
    if sform is None and qform is None:
        raise CaseRefused(
            "NO_ORIENTATION", where=path.name, found="neither sform nor qform set", needed="one of them",
            hint="Without it left and right cannot be told. Convert the DICOM series again with its orientation.",
        )  # fmt: skip
    if settings.nifti_transform == "sform" and sform is not None:
        return np.array(sform, dtype=np.float64)
    if settings.nifti_transform == "qform" and qform is not None:
        return qform
    if sform is not None and qform is not None:
        _check_same(path, sform, qform, header.get_data_shape()[:3])
    if sform is not None:
        _check_spacing(path, sform, header)
    return np.array(qform if sform is None else sform, dtype=np.float64)


def _read_qform(path: Path, header: Any) -> NDArray[np.float64]:
    if float(header["pixdim"][0]) == 0:  # "should not occur"; the standard then takes 1
        header["pixdim"][0] = 1
    try:
        qform = np.array(header.get_qform(), dtype=np.float64)
    except (nib.spatialimages.HeaderDataError, ValueError):
        qform = np.full((4, 4), np.nan)
    if not np.isfinite(qform).all():
        raise make_header_error(path, "a qform whose numbers are no rotation", "qfac 1 or -1, a unit quaternion")
    return qform


def _check_same(path: Path, sform: NDArray[Any], qform: NDArray[Any], shape: tuple[int, ...]) -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    difference = np.linalg.norm(corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3], axis=1).max()
    if not difference <= SAME_TRANSFORM_MM:
        raise CaseRefused(
            "NIFTI_TRANSFORM", where=path.name, found=f"sform and qform {difference:.1f} mm apart",
            needed=f"the same place within {SAME_TRANSFORM_MM} mm",
            hint="Set read_ct.nifti_transform to sform or qform if you know which one is right.",
        )  # fmt: skip


def _check_spacing(path: Path, sform: NDArray[Any], header: Any) -> None:
    """Refuse an sform of another spacing than ``pixdim``: some readers take the one, some the other."""
    told, spacing = header["pixdim"][1:4].astype(np.float64), np.linalg.norm(sform[:3, :3], axis=0)
    off_mm = np.abs(spacing - told) * (np.array(header.get_data_shape()[:3]) - 1)
    if (spacing > 0).all() and np.isfinite(spacing).all() and not (off_mm <= SAME_TRANSFORM_MM).all():
        raise CaseRefused(
            "NIFTI_TRANSFORM", where=path.name, needed="one spacing",
            found=f"sform of spacing {spacing.tolist()} with pixdim {told.tolist()}",
            hint="Set read_ct.nifti_transform to sform if you know that it is right.",
        )  # fmt: skip


def _read_rescale(path: Path, header: Any) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    # Slope 0 or NaN is the standard's word for "no scaling"; readers differ by an offset that comes with it.
    is_plain = (slope == 0 or math.isnan(slope)) and (intercept == 0 or math.isnan(intercept))
    if not is_plain and not is_sane_rescale(slope, intercept):
        raise CaseRefused(
            "BAD_RESCALE", where=path.name, found=f"scl_slope {slope:g} with scl_inter {intercept:g}",
            needed=f"a slope up to {MAX_SLOPE:g} and an offset up to {MAX_INTERCEPT_HU}, or neither",
            hint="Readers differ in what such numbers mean: write HU again.",
        )  # fmt: skip
    return (1.0, 0.0) if is_plain else (slope, intercept)
