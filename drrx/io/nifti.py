"""Canonical volumes as NIfTI: LPS inside drrx, RAS in the file, the same data giving the same bytes."""

import gzip
import math
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.io.files import write_whole
from drrx.io.stream import ANY_COMPRESSION, check_expansion, measure_file, open_stream, read_array, read_exactly
from drrx.volume import Volume

DTYPES = (np.dtype(np.int16), np.dtype(np.uint8), np.dtype(np.float32))
TYPE_CODES = ((4, 16), (2, 8), (16, 32))  # NIfTI's datatype and bitpix of these
HEADER_BYTES = 348
DATA_OFFSET = 352
# Off-diagonal share of an axis that still counts as aligned: float32 in the file, 1e-3 of a voxel over 500 voxels.
ALIGNED_TOLERANCE = 2e-6
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# NIfTI's array axes are (column, row, slice); the inside order is (slice, row, column).
REVERSED_AXES = np.eye(4)[[2, 1, 0, 3]]


def ras_from_ijk(volume: Volume) -> NDArray[np.float64]:
    """Return the file's affine: ``(i, j, k) = (column, row, slice)`` -> RAS mm."""
    affine: NDArray[np.float64] = RAS_FROM_LPS @ volume.world_from_index @ REVERSED_AXES
    return affine


def lps_from_index(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``world_from_index`` (LPS, array order) from a file's affine (RAS, ``i, j, k``)."""
    lps: NDArray[np.float64] = RAS_FROM_LPS @ np.asarray(affine, dtype=np.float64) @ REVERSED_AXES
    return lps


def is_canonical(world_from_index: NDArray[np.float64]) -> bool:
    """Return whether slices go to +z, rows to +y and columns to +x, with nothing off the axes."""
    spacing = world_from_index[[2, 1, 0], [0, 1, 2]]
    rest = world_from_index[:3, :3].copy()
    rest[[2, 1, 0], [0, 1, 2]] = 0.0
    return bool((spacing > 0).all() and (np.abs(rest) <= ALIGNED_TOLERANCE * np.abs(spacing)).all())


def write_volume(path: Path, volume: Volume) -> None:
    """Write a canonical volume whole: gzip level 1 for ``.gz``, no time stamp in it.

    Parameters
    ----------
    path
        Ends in ``.nii.gz`` or ``.nii``.
    volume
        int16, uint8 or float32 (bool is stored as uint8), axis-aligned LPS.

    Raises
    ------
    DrrxError
        Another dtype, suffix or orientation.
    """
    path = Path(path)
    values = volume.values.view(np.uint8) if volume.values.dtype == bool else volume.values
    if values.dtype not in DTYPES or not is_canonical(volume.world_from_index):
        raise DrrxError(
            where=path.name, found=f"{values.dtype} with affine {volume.world_from_index.tolist()}",
            needed="int16, uint8 or float32 on axis-aligned LPS axes (slice +z, row +y, column +x)",
            hint="Read the CT with `drrx read-ct` first: it makes the canonical volume.",
        )  # fmt: skip
    _check_name(path)
    with write_whole(path) as temporary, temporary.open("wb") as raw:
        if path.name.endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as stream:
                _write(stream, values, ras_from_ijk(volume))
        else:
            _write(raw, values, ras_from_ijk(volume))


def _check_name(path: Path) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise DrrxError(
            where=path.name, found=f"suffix {path.suffix or 'none'}", needed=".nii.gz or .nii",
            hint="drrx keeps volumes as NIfTI: give the file a name like ct.nii.gz.",
        )  # fmt: skip


def _write(stream: IO[bytes] | gzip.GzipFile, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(values.dtype)
    header.set_data_shape(values.shape[::-1])
    header.set_xyzt_units("mm")
    header.set_qform(affine, code="scanner")
    header.set_sform(affine, code="scanner")
    header["vox_offset"], header["magic"] = DATA_OFFSET, b"n+1"
    header.set_slope_inter(1.0, 0.0)
    block: bytes = header.binaryblock + bytes(DATA_OFFSET - HEADER_BYTES)
    stream.write(block)
    # NIfTI runs through i fastest: that is the C order of (slice, row, column).
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    stream.write(little.data.cast("B"))


def read_volume(path: Path) -> Volume:
    """Read a canonical volume written by :func:`write_volume`, and prove it whole (length, gzip CRC).

    Returns
    -------
    Volume
        int16, uint8 or float32 as stored; axis-aligned LPS.

    Raises
    ------
    DrrxError
        Missing, damaged (``CORRUPT_FILE``), or not canonical: then it goes through ``drrx read-ct`` first.
    """
    path = Path(path)
    if not path.is_file():
        raise DrrxError(
            where=str(path), found="no such file", needed="a canonical .nii.gz volume",
            hint="Make it with `drrx read-ct` or `drrx make-phantom`, or check the path.",
        )  # fmt: skip
    with open_stream(path) as stream, np.errstate(all="ignore"):
        header = _read_own_header(bytes(read_exactly(stream, HEADER_BYTES, path)), path)
        dtype, shape = header.get_data_dtype(), tuple(int(size) for size in header["dim"][3:0:-1])
        affine = header.get_sform()
        if not np.isfinite(affine).all():
            raise _not_canonical(path, "an sform that is not finite")
        world_from_index = lps_from_index(affine)
        if not is_canonical(world_from_index):
            raise _not_canonical(path, f"axes {''.join(map(str, nib.orientations.aff2axcodes(affine)))} or oblique")
        check_expansion(path, math.prod(shape) * dtype.itemsize, *measure_file(stream), ANY_COMPRESSION)
        read_exactly(stream, DATA_OFFSET - HEADER_BYTES, path)
        values = read_array(stream, dtype, shape, path)
    spacing = (world_from_index[2, 0], world_from_index[1, 1], world_from_index[0, 2])
    return Volume.from_spacing(values, spacing, tuple(world_from_index[:3, 3]))


def _read_own_header(block: bytes, path: Path) -> Any:
    header: Any = nib.Nifti1Header(block, "<", check=False)
    numbers = [int(header[name]) for name in ("sizeof_hdr", "datatype", "bitpix")]
    kinds = [[HEADER_BYTES, *kind] for kind in TYPE_CODES]
    if numbers not in kinds:
        raise _not_canonical(
            path, "another header than drrx writes (header size, datatype, bitpix: {}, {}, {})".format(*numbers)
        )
    scale = (float(header["scl_slope"]), float(header["scl_inter"]))
    dim = header["dim"].tolist()
    if dim[0] != 3 or min(dim[1:4]) < 1 or scale not in ((1.0, 0.0), (0.0, 0.0)):
        raise _not_canonical(path, f"dim {dim}, slope and intercept {scale}")
    if float(header["vox_offset"]) != DATA_OFFSET or int(header["sform_code"]) < 1:
        raise _not_canonical(path, "a header that drrx does not write (vox_offset, sform_code)")
    return header


def _not_canonical(path: Path, found: str) -> DrrxError:
    return DrrxError(
        where=path.name, found=found, needed="a canonical volume (3-D, int16/uint8/float32, LPS inside)",
        hint="Run `drrx read-ct` on it first and use what that writes.",
    )  # fmt: skip
