"""The stored values of one slice, decoded by the child process and proved to be what the header promised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.dicom_child import DicomChild, NoAnswer
from drrx.io.dicom_header import SliceHeader, refuse_file
from drrx.io.uid import is_uid

# The old JPEG processes (8 and 12 bit, lossless 14): no safe decoder comes with drrx.
NO_DECODER = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70))
_MAX_ITEM_BYTES = 8


@dataclass(frozen=True, eq=False)
class Pixels:
    """Stored values ``[row, column]`` with unused bits cleared, which of them the file names as padding (None: it names
    none), SHA-256 of the file and its transfer syntax.
    """  # fmt: skip

    values: NDArray[Any]
    padding: NDArray[np.bool_] | None
    sha256: str
    syntax: str


def read_pixels(header: SliceHeader, child: DicomChild, where: str) -> Pixels:
    """Read one slice.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE`` (cut or damaged), ``NO_DECODER`` (a compression without a safe decoder), ``NOT_3D``,
        ``TOO_LARGE`` (more memory or time than allowed).
    """
    where = f"{where}, {header.label}"
    try:
        reply, data = child.read_pixels(header.file, header.frame, header.rows * header.columns * _MAX_ITEM_BYTES)
    except NoAnswer as failure:
        _refuse_syntax(failure, where)
        refuse_file(failure, where, "pixels that cannot be read")
    dtype = np.dtype(reply["dtype"])
    if tuple(reply["shape"]) != (header.rows, header.columns) or dtype.kind not in "iuf":
        raise CaseRefused(
            "NOT_3D", where=where, found=f"pixels of shape {tuple(reply['shape'])}",
            needed=f"{header.rows} x {header.columns}, one value per pixel", hint="Give the original CT series.",
        )  # fmt: skip
    values = np.frombuffer(data, dtype).reshape(header.rows, header.columns)
    syntax = reply["syntax"] if is_uid(reply["syntax"]) else ""
    return Pixels(_clear_unused_bits(values, *reply["bits"]), _find_padding(values, *reply["padding"]), reply["sha256"],
                  syntax)  # fmt: skip


def _refuse_syntax(failure: NoAnswer, where: str) -> None:
    # pydicom has no name for a syntax, or no decoder.
    unknown = failure.error == "NotImplementedError"
    if failure.kind == "refused" and (unknown or failure.syntax in NO_DECODER):
        syntax = failure.syntax if is_uid(failure.syntax) else "unknown"
        raise CaseRefused(
            "NO_DECODER", where=where, found=f"a compression without a safe decoder (transfer syntax {syntax})",
            needed="uncompressed, RLE, JPEG-LS, JPEG 2000 or deflated pixels",
            hint="Decompress it first, for example with dcmdjpeg of DCMTK, or install pylibjpeg-libjpeg (GPL): it is "
            "used where it is there.",
        ) from failure  # fmt: skip


def _find_padding(values: NDArray[Any], low: int | None, high: int | None) -> NDArray[np.bool_] | None:
    if low is None:
        return None
    low, high = sorted((low, low if high is None else high))
    found: NDArray[np.bool_] = (values >= low) & (values <= high)
    return found


def _clear_unused_bits(values: NDArray[Any], bits_stored: int, high_bit: int) -> NDArray[Any]:
    """Keep BitsStored bits (PS3.5 8.1.1: the others may hold anything) and extend the sign."""
    unused = values.dtype.itemsize * 8 - bits_stored
    if unused <= 0 or values.dtype.kind not in "iu":
        return values
    above = max(values.dtype.itemsize * 8 - 1 - high_bit, 0)
    cleared: NDArray[Any] = (values << above) >> unused
    return cleared
