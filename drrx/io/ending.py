"""A clean end after SIGTERM, which batch systems send some seconds before they kill: no half file, exit status 143."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from drrx.io.files import drop_unfinished

#: Seconds after SIGTERM until a process ends that has not come back to the block: by itself, then by its watchdog.
PATIENCE_S, LAST_S = 8.0, 15.0


class Terminated(BaseException):
    """SIGTERM came; no handler of errors may go on."""


@contextlib.contextmanager
def end_on_sigterm(*, watched: bool) -> Iterator[None]:
    """Raise ``Terminated`` in the block when SIGTERM comes; outside the main thread it changes nothing.

    Python calls handlers between two of its own steps, which compiled code can put off for minutes. With ``watched`` a
    second process kills this one after ``LAST_S`` then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    watchdog = _start_watchdog() if watched else None
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        if watchdog is not None:
            signal.set_wakeup_fd(-1)
            os.close(watchdog)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_give_up, daemon=True).start()
    raise Terminated


def _give_up() -> None:
    time.sleep(PATIENCE_S)
    drop_unfinished()
    os._exit(143)


def _start_watchdog() -> int:
    """Start it; return the file that Python's own handler, which is never put off, writes each signal's number to."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    parent = os.getpid()
    if os.fork() == 0:
        os.close(writer)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            _watch(reader, parent)
        os._exit(0)
    os.close(reader)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return writer


def _watch(reader: int, parent: int) -> None:
    """Wait for SIGTERM to come to the parent and then for its end, or kill it; end with it."""
    while number := os.read(reader, 1):
        if number[0] == signal.SIGTERM:
            until = time.monotonic() + LAST_S
            while os.getppid() == parent and time.monotonic() < until:
                time.sleep(0.05)
            if os.getppid() == parent:
                os.kill(parent, signal.SIGKILL)
            return
