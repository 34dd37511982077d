"""A command that runs in a group of its own and does not outlive us: Ctrl-C, SIGTERM and kill -9 reach all of it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

#: Seconds after SIGTERM until what started the jobs has understood, and until whatever still runs is killed. Jobs end
#: by themselves within 16 s (`drrx/cli/main.py`).
FIRST_S, LAST_S = 0.3, 17.0
#: The environment variable that names the open file by which the command can tell us something.
TELL = "DRRX_TELL"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True)
class Ended:
    """How the command ended: its exit status, 128 and the number of a signal that ended it, and what it told."""

    status: int
    told: bytes


def run_child(command: Sequence[str], environment: dict[str, str] | None = None) -> Ended:
    """Run a command, pass on the signals that we get, and return when it and all that it started have ended.

    SIGINT goes to all processes of the command, which end as they like. SIGTERM and SIGHUP go to the command first and
    then to all others; what still runs after ``LAST_S`` is killed, and the status is 143 or 129. When the command is
    killed, what it started is ended likewise. When we are killed, the system kills the command; jobs that it started
    may finish, unless another run forbids it (``drrx/io/fence.py``).
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # jobs whose parent was killed are ours to wait for
    reader, writer = os.pipe()
    with _listen() as signals:
        process = subprocess.Popen(
            command, process_group=0, pass_fds=(writer,), preexec_fn=_die_with(os.getpid()),
            env=dict(os.environ) | (environment or {}) | {TELL: str(writer)},
        )  # fmt: skip
        os.close(writer)
        status = _Watch(process, signals).wait()
    with open(reader, "rb") as stream:  # noqa: PTH123
        return Ended(status, stream.read())


def tell_parent(text: bytes) -> None:
    """Tell the process that called ``run_child``; nothing where there is none."""
    if TELL in os.environ:
        with contextlib.suppress(OSError):
            os.write(int(os.environ[TELL]), text)


@dataclass
class _Watch:
    process: subprocess.Popen[bytes]
    signals: list[int]
    ending: int = 0
    due: list[tuple[float, int]] = field(default_factory=list)

    def wait(self) -> int:
        """Wait for the command and its group; return the status."""
        while self.process.poll() is None:
            self._act()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.1)
        status = self.process.returncode
        if status < 0 or self.ending:
            self._end_others()
        self._act()
        return 128 + self.ending if self.ending else 128 - status if status < 0 else status

    def _act(self) -> None:
        while self.signals:
            number = self.signals.pop(0)
            if number == signal.SIGTSTP:
                self._stop()
            elif number == signal.SIGINT:
                self._send(number)
            elif not self.ending:
                self.ending = number
                self._plan_end()
        now = time.monotonic()
        for number in [number for when, number in self.due if when <= now]:
            self._send(number)
        self.due = [(when, number) for when, number in self.due if when > now]

    def _plan_end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        now = time.monotonic()
        self.due = [(now + FIRST_S, signal.SIGTERM), (now + LAST_S, signal.SIGKILL)]

    def _end_others(self) -> None:
        """End what the command left running."""
        self._send(signal.SIGTERM)
        if not self.ending:
            self.due = [(time.monotonic() + LAST_S, signal.SIGKILL)]
        while self._has_others():
            self._act()
            time.sleep(0.02)

    def _has_others(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.process.pid, os.WNOHANG)[0]:
                continue
        return self._send(0)

    def _send(self, number: int) -> bool:
        """Send a signal to all processes of the command; return whether there are any."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _stop(self) -> None:
        """Ctrl-Z: let all rest until we are waked."""
        self._send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._send(signal.SIGCONT)


@contextlib.contextmanager
def _listen() -> Iterator[list[int]]:
    """Collect the signals that a user or a batch system sends us."""
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # nohup
            signal.signal(number, note)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a new process does first: ask to be killed when its parent dies."""

    def ask() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(137)

    return ask


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)
