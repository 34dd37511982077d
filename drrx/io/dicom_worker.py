"""The process that opens DICOM files: only here do parsers and decoders run on bytes from outside.

``drrx.io.dicom_child`` starts it as ``python -m drrx.io.dicom_worker MEMORY_MB SECONDS`` and talks to it by pipes. A
request is a line of JSON, ``{"do": "header", "path": ...}`` or ``{"do": "pixels", "path": ..., "frame": ...}``; a reply
is a line of JSON and as many bytes as its ``bytes`` says. What parsers and decoders print is dropped: it can hold names
of patients. The process may use so much memory in all and so many seconds of CPU per file, may write no file, and dies
of its own when its parent is gone.
"""

import functools
import hashlib
import io
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from drrx.io.dicom_facts import TAGS, read_facts

READY = b"ready\n"
# GDCM can abort the interpreter and pylibjpeg's RLE panics on damaged files; Pillow gives 8 bits of what had 12.
_UNSAFE_PLUGINS = ("gdcm", "pillow")
_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double, stored values
_MAX_INTEGER = 2**53  # above it a number of JSON readers is no longer exact; no tag that is asked for comes near


def main() -> None:
    """Answer requests until standard input ends."""
    memory_mb, seconds = int(sys.argv[1]), int(sys.argv[2])
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    _limit(memory_mb)
    _drop_unsafe_plugins()
    replies.write(READY)
    replies.flush()
    for line in requests:
        _limit_time(seconds)
        reply, data = _answer(json.loads(line))
        replies.write(json.dumps({**reply, "bytes": data.nbytes}).encode() + b"\n")
        replies.write(data)
        replies.flush()


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _drop_unsafe_plugins() -> None:
    for syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes, RLELossless):
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            continue
        unsafe = (*_UNSAFE_PLUGINS, "pylibjpeg") if syntax == RLELossless else _UNSAFE_PLUGINS
        for plugin in set(unsafe) & {*decoder.available_plugins}:
            decoder.remove_plugin(plugin)


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
    try:
        if request["do"] == "header":
            return {"facts": _read_header(request["path"])}, memoryview(b"")
        return _read_pixels(request["path"], request["frame"])
    except MemoryError:
        _read_file.cache_clear()
        return {"error": "MemoryError"}, memoryview(b"")
    except BaseException as error:  # parsers and decoders raise many kinds, a panic of Rust among them
        return {"error": type(error).__name__, "syntax": _find_syntax(request)}, memoryview(b"")


def _read_header(path: str) -> list[dict[str, Any]]:
    with open(path, "rb") as stream:  # noqa: PTH123 # a path that is not UTF-8 comes with surrogates
        has_preamble = stream.read(132)[128:] == b"DICM"
        stream.seek(0)
        pixels: list[BaseTag] = []
        dataset = read_partial(
            stream, _make_stop(pixels), force=not has_preamble, specific_tags=[Tag(name) for name in TAGS]
        )
    return [{**facts, "has_preamble": has_preamble, "has_pixels": bool(pixels)} for facts in read_facts(dataset)]


def _make_stop(found: list[BaseTag]) -> Callable[[BaseTag, str | None, int], bool]:
    """Return a function that stops the parser at the pixels and notes that there are some."""

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag in _PIXEL_DATA:
            found.append(tag)
        return bool(found)

    return stop


@functools.lru_cache(maxsize=1)  # the frames of one file are asked for one after another
def _read_file(path: str) -> tuple[FileDataset, str]:
    with open(path, "rb") as stream:  # noqa: PTH123
        content = stream.read()
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", ()):  # files older than the preamble
        dataset.file_meta = FileMetaDataset()
        is_implicit, is_little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return dataset, hashlib.sha256(content).hexdigest()


def _read_pixels(path: str, frame: int) -> tuple[dict[str, Any], memoryview]:
    dataset, sha256 = _read_file(path)
    values: NDArray[Any] = np.ascontiguousarray(pixel_array(dataset, index=frame))
    if values.dtype.itemsize * 8 < int(dataset.BitsStored):
        raise TypeError("fewer bits than stored")
    padding = [dataset.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    reply = {
        "shape": values.shape, "dtype": values.dtype.str, "sha256": sha256,
        "bits": [int(dataset.BitsStored), int(dataset.HighBit)],
        "padding": [value if isinstance(value, int) and abs(value) < _MAX_INTEGER else None for value in padding],
        "syntax": str(dataset.file_meta.TransferSyntaxUID),
    }  # fmt: skip
    return reply, values.data.cast("B") if values.size else memoryview(b"")


def _find_syntax(request: dict[str, Any]) -> str:
    """Return the transfer syntax of a file whose pixels could not be read, as far as it can be told."""
    try:
        return str(pydicom.filereader.read_file_meta_info(request["path"]).get("TransferSyntaxUID", ""))
    except BaseException:  # the file is damaged: that is why it is asked for
        return ""


if __name__ == "__main__":
    main()
