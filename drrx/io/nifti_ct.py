"""Any CT stored as NIfTI: own header pass, then voxels proved whole."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.nifti import lps_from_index
from drrx.io.reading import Reading, apply_rescale, check_number_type, check_shape, make_header_error
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import open_stream, read_array, read_exactly
from drrx.volume import Volume

SAME_TRANSFORM_MM = 0.5


def read_nifti(path: Path, settings: ReadCtSettings) -> Reading:
    """Read a NIfTI-1 or NIfTI-2 file (``.nii``, ``.nii.gz``) as LPS.

    Raises
    ------
    CaseRefused
        ``BAD_HEADER``, ``CORRUPT_FILE``, ``NOT_3D``, ``TOO_LARGE``, ``NO_ORIENTATION``, ``NIFTI_TRANSFORM``,
        ``BAD_RESCALE``.
    """
    with open_stream(path) as stream:
        header, used = _read_header(stream, path)
        sizes = check_shape(path.name, header.get_data_shape(), settings)
        dtype = header.get_data_dtype()
        check_number_type(path.name, dtype)
        affine = _choose_transform(path, header, settings)
        slope, intercept = _read_rescale(path, header)
        read_exactly(stream, int(header["vox_offset"]) - used, path)
        values = read_array(stream, dtype, tuple(sizes[::-1]), path)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise make_header_error(path, f"the transform {affine.tolist()}", "finite numbers and a spacing above zero")
    volume = Volume(apply_rescale(values, slope, intercept), lps_from_index(affine))
    return Reading(volume, source={"format": "nifti"})


def _read_header(stream: Any, path: Path) -> tuple[Any, int]:
    start = bytes(read_exactly(stream, 4, path))
    sizes = {int.from_bytes(start, "little"), int.from_bytes(start, "big")}
    kind: Any
    kind, num_bytes = (nib.Nifti2Header, 540) if 540 in sizes else (nib.Nifti1Header, 348)
    if not sizes & {348, 540}:
        raise make_header_error(path, "no NIfTI header", "NIfTI-1 or NIfTI-2 data")
    block = start + bytes(read_exactly(stream, num_bytes - 4, path))
    try:
        header: Any = kind(block, check=False)
        header.get_data_dtype(), header.get_data_shape(), header.get_best_affine()
    except (nib.spatialimages.HeaderDataError, ValueError) as error:
        raise make_header_error(path, str(error), "a valid NIfTI header") from error
    if bytes(header["magic"])[:2] != b"n+" or int(header["vox_offset"]) < num_bytes:
        raise make_header_error(path, "a header without its data (.hdr/.img pair?)", "a single .nii or .nii.gz file")
    return header, num_bytes


def _choose_transform(path: Path, header: Any, settings: ReadCtSettings) -> NDArray[np.float64]:
    sform = header.get_sform() if int(header["sform_code"]) > 0 else None
    qform = header.get_qform() if int(header["qform_code"]) > 0 else None
    if sform is None and qform is None:
        raise CaseRefused(
            "NO_ORIENTATION", where=path.name, found="neither sform nor qform set", needed="one of them",
            hint="Without it left and right cannot be told. Convert the DICOM series again with its orientation.",
        )  # fmt: skip
    if settings.nifti_transform == "sform" and sform is not None:
        return np.asarray(sform)
    if settings.nifti_transform == "qform" and qform is not None:
        return np.asarray(qform)
    if sform is not None and qform is not None:
        _check_same(path, sform, qform, header.get_data_shape()[:3])
    return np.asarray(qform if sform is None else sform)


def _check_same(path: Path, sform: NDArray[Any], qform: NDArray[Any], shape: tuple[int, ...]) -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    difference = np.linalg.norm(corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3], axis=1).max()
    if not difference <= SAME_TRANSFORM_MM:
        raise CaseRefused(
            "NIFTI_TRANSFORM", where=path.name, found=f"sform and qform {difference:.1f} mm apart",
            needed=f"the same place within {SAME_TRANSFORM_MM} mm",
            hint="Set read_ct.nifti_transform to sform or qform if you know which one is right.",
        )  # fmt: skip


def _read_rescale(path: Path, header: Any) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):  # the standard's word for "no scaling", so an offset makes no sense
        if np.isfinite(intercept) and intercept != 0:
            raise CaseRefused(
                "BAD_RESCALE", where=path.name, found=f"scl_slope {slope} with scl_inter {intercept}",
                needed="a slope when there is an offset", hint="Readers differ by the offset here: write HU again.",
            )  # fmt: skip
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0
