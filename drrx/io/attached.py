"""Headers of MetaImage and NRRD: text first, voxels after it or in a file beside it."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.plain import make_corrupt, open_plain
from drrx.io.reading import make_header_error
from drrx.io.stream import InflateStream, check_expansion, read_array

MAX_HEADER_BYTES = 1 << 20
#: Farther off, float32 (as files keep places) tells less than a tenth of a millimetre.
MAX_MM = 1e6
MIN_VOXEL_MM3 = 1e-9
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class TextHeader:
    """Key and value lines, and where the file goes on after them."""

    fields: dict[str, str]
    data_start: int


@dataclass(frozen=True)
class VoxelPlace:
    """Where voxels lie: file, bytes before them (-1: they are its last bytes), whether they are packed, and into how
    many bytes (0: not told).
    """

    path: Path
    skip: int
    is_packed: bool
    num_packed: int = 0


def resolve_beside(path: Path, name: str) -> Path:
    """Return the data file that a header names; it must lie in the header's own folder (``PATH_ESCAPE``).

    Names are not repeated in messages: they often are those of patients.
    """
    try:
        found = (path.parent / name).resolve()
        inside = not Path(name).is_absolute() and found.is_relative_to(path.parent.resolve())
        there = inside and found.is_file()
        itself = there and found.samefile(path)
    except (OSError, ValueError, RuntimeError) as error:  # NUL or 300 letters in the name, links in a circle
        raise make_header_error(path, "the name of a data file that cannot be", "a plain file name") from error
    if not inside:
        raise CaseRefused(
            "PATH_ESCAPE", where=path.name, found="a data file elsewhere", needed="a file in the folder of the header",
            hint="Put header and data file into one folder and name the data file without a path.",
        )  # fmt: skip
    if not there:
        raise make_corrupt(path, "no data file of the name in the header", "the header and its data file")
    if itself:
        raise make_header_error(path, "a header that names itself as data file", "a data file of its own")
    return found


def parse_numbers(path: Path, text: str, count: int | None = None) -> NDArray[np.float64]:
    """Return the numbers in ``text``, with blanks between them; ``BAD_HEADER`` otherwise."""
    words = text.split()
    if not words or not all(NUMBER.fullmatch(word) for word in words):
        raise make_header_error(path, "a line without the numbers it needs", "finite numbers")
    numbers = np.array([float(word) for word in words])
    if not np.isfinite(numbers).all() or (count is not None and len(numbers) != count):
        raise make_header_error(path, f"{len(numbers)} numbers", f"{count or 'finite'} numbers")
    return numbers


def parse_integers(path: Path, text: str, count: int | None = None) -> list[int]:
    """Return the whole numbers in ``text``; ``BAD_HEADER`` otherwise."""
    words = text.split()
    if not words or not all(INTEGER.fullmatch(word) for word in words) or (count and len(words) != count):
        raise make_header_error(path, "sizes or counts that are no whole numbers", "whole numbers")
    return [int(word) for word in words]


def parse_flag(path: Path, text: str) -> bool:
    """Return the truth value of a MetaImage field, of which only the first letter counts; else ``BAD_HEADER``."""
    if text[:1] not in tuple("TtFf10"):
        raise make_header_error(path, "a word that is neither True nor False", "True or False")
    return text[0] in "Tt1"


def check_affine(path: Path, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``affine``, or refuse it (``BAD_HEADER``) when it is not finite, loses an axis or leads far away."""
    with np.errstate(all="ignore"):
        fits = bool((np.abs(affine) <= MAX_MM).all()) and abs(np.linalg.det(affine)) >= MIN_VOXEL_MM3
    if not fits:
        found, needed = f"the transform {affine[:3].tolist()}", f"up to {MAX_MM:g} mm, and a spacing above zero"
        raise make_header_error(path, found, needed)
    return affine


def add_field(path: Path, fields: dict[str, str], key: str, value: str) -> None:
    """Add a field of the header; one that comes twice is ``BAD_HEADER``: readers differ in which they believe."""
    if key in fields:
        raise make_header_error(path, "a field that comes twice", "every field once")
    fields[key] = value


def read_header_bytes(path: Path) -> bytes:
    """Return the first part of the file, long enough for any sane text header."""
    with open_plain(path) as stream:
        return stream.read(MAX_HEADER_BYTES)


def read_voxels(
    place: VoxelPlace, dtype: np.dtype[Any], shape: tuple[int, ...], max_compression: float
) -> NDArray[Any]:
    """Read voxels that end with the file; length, and for packed ones (zlib, gzip) the checksum, are proved."""
    num_bytes = math.prod(shape) * dtype.itemsize
    with open_plain(place.path) as raw:
        file_bytes = raw.seek(0, 2)
        skip = place.skip if place.skip >= 0 else max(0, file_bytes - num_bytes)
        there = max(0, file_bytes - skip)
        if place.is_packed and place.num_packed not in (0, there):
            raise make_corrupt(place.path, f"{there} bytes of packed voxels", f"{place.num_packed}, as its header says")
        check_expansion(place.path, num_bytes, there, place.is_packed, max_compression)
        raw.seek(skip)
        return read_array(InflateStream(raw, place.path) if place.is_packed else raw, dtype, shape, place.path)
