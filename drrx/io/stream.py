"""Bytes of a file that is proved whole: gzip checksum and exact length, under a size limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from drrx.errors import CaseRefused

CHUNK_BYTES = 1 << 24


def make_corrupt(path: Path, found: str, needed: str = "a whole file") -> CaseRefused:
    """Return the refusal of a file that is cut, damaged or of a wrong length."""
    return CaseRefused(
        "CORRUPT_FILE", where=path.name, found=found, needed=needed,
        hint="Copy or export the file again; compare its size or checksum with the original.",
    )  # fmt: skip


@contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file (told by its first bytes, not by its name); read errors become ``CORRUPT_FILE``."""
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if is_gzip:
                with igzip.IGzipFile(fileobj=raw, mode="rb") as stream:  # reads three times as fast as gzip
                    yield stream  # type: ignore[misc]
            else:
                yield raw
    except (EOFError, isal_zlib.error, OSError) as error:  # type: ignore[misc] # gzip.BadGzipFile is an OSError
        raise make_corrupt(path, str(error) or type(error).__name__) from error


def read_exactly(stream: IO[bytes], num_bytes: int, path: Path) -> bytearray:
    """Read ``num_bytes`` or raise ``CORRUPT_FILE``; memory grows with what is there, not with what a header claims."""
    data = bytearray()
    while len(data) < num_bytes:
        chunk = stream.read(min(CHUNK_BYTES, num_bytes - len(data)))
        if not chunk:
            raise make_corrupt(path, f"{len(data)} bytes of data", f"{num_bytes} bytes, as its header says")
        data += chunk
    return data


def check_end(stream: IO[bytes], path: Path) -> None:
    """Raise ``CORRUPT_FILE`` unless the stream ends here; for gzip this also checks length and CRC."""
    if stream.read(1):
        raise make_corrupt(path, "more data than its header declares", "exactly the declared length")


def read_array(stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    """Read a C-ordered array up to the end of the stream; native byte order, writable."""
    num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    values = np.frombuffer(read_exactly(stream, num_bytes, path), dtype=dtype).reshape(shape)
    check_end(stream, path)
    return values if values.dtype.isnative else values.astype(dtype.newbyteorder("="))
