"""Bytes of a file that is proved whole: gzip checksum and exact length, under limits of size and expansion."""

import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.plain import make_corrupt, open_plain

CHUNK_BYTES = 1 << 24
#: What lies between header and voxels (extensions of NIfTI, a foreign header) is shorter than this.
MAX_SKIP_BYTES = 1 << 26
#: Below this much unpacked data nobody counts how far it was packed.
FREE_BYTES = 1 << 26
#: Deflate packs 1032 : 1 at best; a file that declares more cannot hold what it declares.
DEFLATE_LIMIT = 1032
#: For label maps and other files that are allowed to be packed as far as deflate goes.
ANY_COMPRESSION = math.inf
# Kept as float32: HU beyond 2**24 mean nothing, and eight bytes a voxel are memory that nobody needs.
_WIDE = tuple(np.dtype(kind) for kind in ("i8", "u8", "f8"))


@contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file (told by its first bytes, not by its name).

    Raises
    ------
    CaseRefused
        Those of :func:`open_plain`, and ``CORRUPT_FILE`` when the gzip data are damaged or cut.
    """
    with open_plain(path) as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not is_gzip:
            yield raw
            return
        try:
            with igzip.IGzipFile(fileobj=raw, mode="rb") as stream:  # reads three times as fast as gzip
                yield stream  # type: ignore[misc]
        except (EOFError, isal_zlib.error) as error:  # type: ignore[misc] # gzip.BadGzipFile is an OSError
            raise make_corrupt(path, str(error) or type(error).__name__) from error


def measure_file(stream: IO[bytes]) -> tuple[int, bool]:
    """Return the size of the file behind a stream of :func:`open_stream`, in bytes, and whether it is packed."""
    return os.fstat(stream.fileno()).st_size, isinstance(stream, igzip.IGzipFile)


class InflateStream(io.RawIOBase):
    """What one zlib or gzip stream unpacks to, from where ``raw`` stands to the end of the file.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``: damaged, cut, or followed by something else; checksums are compared at the end.
    """

    def __init__(self, raw: IO[bytes], path: Path) -> None:
        self._raw, self._path = raw, path
        self._engine = zlib.decompressobj(wbits=47)  # 32 + 15: zlib or gzip by its own header

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as one step goes; 0 at the end."""
        while not self._engine.eof:
            packed = self._engine.unconsumed_tail or self._raw.read(CHUNK_BYTES >> 4)
            if not packed:
                raise make_corrupt(self._path, "compressed voxels that end early", "the end of the compressed stream")
            try:
                data = self._engine.decompress(packed, len(buffer))
            except zlib.error as error:
                raise make_corrupt(self._path, str(error)) from error
            if data:
                buffer[: len(data)] = data
                return len(data)
        if self._engine.unused_data or self._raw.read(1):
            raise make_corrupt(self._path, "more data after the compressed voxels", "exactly the declared length")
        return 0


def read_exactly(stream: IO[bytes], num_bytes: int, path: Path) -> bytearray:
    """Read ``num_bytes`` or raise ``CORRUPT_FILE``; memory grows with what is there, not with what a header claims."""
    data = bytearray()
    while len(data) < num_bytes:
        chunk = stream.read(min(CHUNK_BYTES, num_bytes - len(data)))
        if not chunk:
            raise make_corrupt(path, f"{len(data)} bytes of data", f"{num_bytes} bytes, as its header says")
        data += chunk
    return data


def skip_bytes(stream: IO[bytes], num_bytes: int, path: Path) -> None:
    """Read over ``num_bytes`` without keeping them; ``CORRUPT_FILE`` if there are fewer or more than 64 MB to skip."""
    if num_bytes > MAX_SKIP_BYTES:
        raise make_corrupt(path, f"voxels that begin after {num_bytes} bytes", f"at most {MAX_SKIP_BYTES} before them")
    while num_bytes > 0:
        chunk = stream.read(min(CHUNK_BYTES >> 4, num_bytes))
        if not chunk:
            raise make_corrupt(path, "an end before the voxels", "a whole file")
        num_bytes -= len(chunk)


def check_end(stream: IO[bytes], path: Path) -> None:
    """Raise ``CORRUPT_FILE`` unless the stream ends here; for gzip this also checks length and CRC."""
    if stream.read(1):
        raise make_corrupt(path, "more data than its header declares", "exactly the declared length")


def check_expansion(path: Path, num_bytes: int, file_bytes: int, is_packed: bool, max_compression: float) -> None:
    """Refuse, before memory is taken, a file that is too small for the ``num_bytes`` of voxels it declares.

    Raises
    ------
    CaseRefused
        ``CORRUPT_FILE``: it cannot hold them. ``TOO_LARGE``: it would unpack to more than 64 MB and more than
        ``max_compression`` times its size, as a decompression bomb does.
    """
    if num_bytes > file_bytes * (DEFLATE_LIMIT if is_packed else 1) + FREE_BYTES * is_packed:
        raise make_corrupt(path, f"a file of {file_bytes} bytes", f"{num_bytes} bytes, as its header says")
    if is_packed and num_bytes > max(FREE_BYTES, file_bytes * max_compression):
        raise CaseRefused(
            "TOO_LARGE", where=path.name, found=f"{num_bytes} bytes packed into {file_bytes}",
            needed=f"at most {max_compression:g} times the size of the file",
            hint="Raise read_ct.max_compression if the CT really is that smooth.",
        )  # fmt: skip


def read_array(
    stream: IO[bytes] | io.RawIOBase, dtype: np.dtype[Any], shape: tuple[int, ...], path: Path
) -> NDArray[Any]:
    """Read a C-ordered array up to the end of the stream; native byte order, writable, 64-bit numbers as float32.

    Call :func:`check_expansion` first: memory for the whole array is taken at once.
    """
    kept = np.dtype(np.float32) if dtype.newbyteorder("=") in _WIDE else dtype.newbyteorder("=")
    values = np.empty(math.prod(shape), dtype=kept)
    step = CHUNK_BYTES // dtype.itemsize
    block = np.empty(min(step, values.size), dtype=dtype)
    for start in range(0, values.size, step):
        part = block[: min(step, values.size - start)]
        _fill(stream, part.view(np.uint8).data, path, start * dtype.itemsize, values.size * dtype.itemsize)
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and is counted as such
            values[start : start + len(part)] = part
    check_end(stream, path)  # type: ignore[arg-type]
    return values.reshape(shape)


def _fill(stream: Any, target: memoryview, path: Path, done: int, wanted: int) -> None:
    place = 0
    while place < len(target):
        count = stream.readinto(target[place:])
        if not count:
            raise make_corrupt(path, f"{done + place} bytes of data", f"{wanted} bytes, as its header says")
        place += count
