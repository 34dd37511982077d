"""Headers of MetaImage and NRRD: text first, voxels after it or in a file beside it."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.reading import make_header_error
from drrx.io.stream import CHUNK_BYTES, make_corrupt, read_array

MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class TextHeader:
    """Key and value lines, and where the file goes on after them."""

    fields: dict[str, str]
    data_start: int


def resolve_beside(path: Path, name: str) -> Path:
    """Return the data file that a header names; it must lie in the header's own folder (``PATH_ESCAPE``)."""
    found = (path.parent / name).resolve()
    if Path(name).is_absolute() or not found.is_relative_to(path.parent.resolve()):
        raise CaseRefused(
            "PATH_ESCAPE", where=path.name, found=f"data file {name!r}", needed="a file in the folder of the header",
            hint="Put header and data file into one folder and name the data file without a path.",
        )  # fmt: skip
    if not found.is_file():
        raise make_corrupt(path, f"no data file {name!r} beside it", "the header and its data file")
    return found


def parse_numbers(path: Path, text: str, count: int | None = None) -> NDArray[np.float64]:
    """Return the numbers in ``text`` (blanks, commas or parentheses between them); ``BAD_HEADER`` otherwise."""
    try:
        numbers = np.array([float(word) for word in text.replace(",", " ").replace("(", " ").replace(")", " ").split()])
    except ValueError as error:
        raise make_header_error(path, repr(text), "numbers") from error
    if not np.isfinite(numbers).all() or (count is not None and len(numbers) != count):
        raise make_header_error(path, repr(text), f"{count or 'finite'} numbers")
    return numbers


def read_header_bytes(path: Path) -> bytes:
    """Return the first part of the file, long enough for any sane text header."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_HEADER_BYTES)
    except OSError as error:
        raise make_corrupt(path, error.strerror or "a read error") from error


def read_raw(path: Path, skip: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read raw voxels that begin after ``skip`` bytes and end with the file."""
    with path.open("rb") as raw:
        raw.seek(skip)
        return read_array(raw, dtype, shape, path)


def inflate(path: Path, skip: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Inflate voxels (zlib or gzip) that begin after ``skip`` bytes; checksum and exact length are checked."""
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    data = bytearray()
    engine = zlib.decompressobj(wbits=47)  # 32 + 15: zlib or gzip by its own header
    try:
        with path.open("rb") as raw:
            raw.seek(skip)
            _inflate_into(raw, engine, data, expected)
    except (zlib.error, OSError) as error:
        raise make_corrupt(path, str(error)) from error
    if not engine.eof or len(data) != expected:
        raise make_corrupt(path, f"{len(data)} bytes of voxels", f"{expected} bytes and the end of the stream")
    values = np.frombuffer(data, dtype=dtype).reshape(shape)
    return values if values.dtype.isnative else values.astype(dtype.newbyteorder("="))


def _inflate_into(raw: IO[bytes], engine: Any, data: bytearray, expected: int) -> None:
    while not engine.eof and len(data) <= expected:
        chunk = engine.unconsumed_tail or raw.read(CHUNK_BYTES)
        if not chunk:
            return
        data += engine.decompress(chunk, CHUNK_BYTES)
