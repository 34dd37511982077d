"""A clean end after SIGTERM, which batch systems send some seconds before they kill: no half file, exit status 143."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from drrx.io.files import drop_unfinished

#: Seconds after SIGTERM until the process ends although it has not come back to Python's main loop: first by a thread,
#: then, when compiled code lets no thread in, by the system.
PATIENCE_S, LAST_S = 8.0, 15


class Terminated(BaseException):
    """SIGTERM came; no handler of errors may go on."""


@contextlib.contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Raise ``Terminated`` in the block when SIGTERM comes; outside the main thread it changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LAST_S)
    threading.Thread(target=_give_up, daemon=True).start()
    raise Terminated


def _give_up() -> None:
    time.sleep(PATIENCE_S)
    drop_unfinished()
    os._exit(143)
