"""The other end of ``drrx.io.dicom_worker``: asks, waits so long and no longer, and says why there was no answer."""

import atexit
import errno
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import drrx

# A disk may be slow, so the clock on the wall allows more than that of the CPU.
WALL_FACTOR = 4.0
START_SECONDS = 120.0
MAX_REPLY_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 20


@dataclass
class NoAnswer(Exception):
    """The file gave no answer.

    ``kind``: ``refused`` by parser or decoder (``error`` names the exception, ``syntax`` the transfer syntax), more
    ``memory`` or ``time`` than allowed, or the process ``died``.
    """

    kind: Literal["refused", "memory", "time", "died"]
    error: str = ""
    syntax: str = ""


class DicomChild:
    """A process with limits on memory and time that opens DICOM files. It is started when it is first asked, and again
    after it had to be ended.

    Parameters
    ----------
    memory_mb
        Address space of the process, MiB.
    seconds
        CPU seconds for one file; four times as many on the wall.
    """

    def __init__(self, memory_mb: int, seconds: int) -> None:
        self.memory_mb, self.seconds = memory_mb, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = bytearray()

    def read_header(self, path: Path) -> list[dict[str, Any]]:
        """Return the facts of each slice in a file (`drrx.io.dicom_facts`); ``NoAnswer`` where there are none."""
        reply, _ = self._ask({"do": "header", "path": os.fspath(path)}, 0)
        return list(reply["facts"])

    def read_pixels(self, path: Path, frame: int, max_bytes: int) -> tuple[dict[str, Any], bytearray]:
        """Return what is told of the stored values of one frame, and their bytes; ``NoAnswer`` without any."""
        return self._ask({"do": "pixels", "path": os.fspath(path), "frame": frame}, max_bytes)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._rest.clear()
        if process is not None:
            _end(process)

    def _ask(self, request: dict[str, Any], max_bytes: int) -> tuple[dict[str, Any], bytearray]:
        try:
            reply, data = self._talk(request, max_bytes)
        except BaseException:  # whatever came between: the pipe may hold half an answer
            self.close()
            raise
        if "error" in reply:
            kind: Literal["memory", "refused"] = "memory" if reply["error"] == "MemoryError" else "refused"
            raise NoAnswer(kind, str(reply["error"]), str(reply.get("syntax", "")))
        return reply, data

    def _start(self) -> None:
        self._process = _start(self.memory_mb, self.seconds)
        try:
            self._read_line(time.monotonic() + START_SECONDS)
        except NoAnswer as failure:  # no file was asked for yet: no fault of a case
            raise ChildProcessError(
                errno.ECHILD,
                "the process that opens DICOM files does not start; "
                f"`python -m drrx.io.dicom_worker {self.memory_mb} {self.seconds}` tells why",
            ) from failure

    def _talk(self, request: dict[str, Any], max_bytes: int) -> tuple[dict[str, Any], bytearray]:
        if self._process is None:
            self._start()
        deadline = time.monotonic() + WALL_FACTOR * self.seconds
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
        except BrokenPipeError as error:
            raise NoAnswer("died") from error
        reply = json.loads(self._read_line(deadline))
        if reply["bytes"] > max_bytes:
            raise NoAnswer("refused", "more values than rows and columns")
        return reply, self._read_bytes(reply["bytes"], deadline)

    def _read_line(self, deadline: float) -> bytearray:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > MAX_REPLY_BYTES:
                raise NoAnswer("refused", "a header without end")
            self._rest += self._read_some(deadline)
        return self._take(end + 1)

    def _read_bytes(self, count: int, deadline: float) -> bytearray:
        while len(self._rest) < count:
            self._rest += self._read_some(deadline)
        return self._take(count)

    def _take(self, count: int) -> bytearray:
        taken = self._rest[:count]
        del self._rest[:count]
        return taken

    def _read_some(self, deadline: float) -> bytes:
        process = self._process
        if process is None or process.stdout is None:
            raise NoAnswer("died")
        replies = process.stdout.fileno()
        waiting = select.poll()
        waiting.register(replies, select.POLLIN)
        if not waiting.poll(1000 * max(0.0, deadline - time.monotonic())):
            raise NoAnswer("time")
        if some := os.read(replies, _CHUNK_BYTES):
            return some
        raise NoAnswer("time" if process.wait() == -signal.SIGXCPU else "died")


def _start(memory_mb: int, seconds: int) -> subprocess.Popen[bytes]:
    # One thread: pools of threads would eat the address space. The folder of the package goes first and the working
    # folder (-P: not at all) cannot lend a module.
    package = os.fspath(Path(drrx.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    command = [sys.executable, "-P", "-m", "drrx.io.dicom_worker", str(memory_mb), str(seconds)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        env=os.environ | single | {"PYTHONPATH": paths},
    )  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@functools.lru_cache(maxsize=4)
def get_child(memory_mb: int, seconds: int) -> DicomChild:
    """Return the one child of this process with these limits; it lives as long as this process."""
    child = DicomChild(memory_mb, seconds)
    atexit.register(child.close)
    return child
