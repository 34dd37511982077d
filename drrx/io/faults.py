"""What the machine does to a run: full disks, missing rights, lost memory, defects. Each has a code and a hint.

Nothing here repeats the message of an exception or a path outside the run: both may hold words of a patient's files.
"""

import errno
import traceback
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import drrx

REPORT = "Report it with the stage's log; it names no patient."
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BARRED = (errno.EROFS, errno.EACCES, errno.EPERM)
_WORDS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "a file system that may only be read",
    errno.EACCES: "no right to open a file",
    errno.EPERM: "no right to do so",
    errno.EIO: "the disk or its network does not answer rightly",
    errno.ENOENT: "a file that is not there any more",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.ECHILD: "the process that opens DICOM files does not start (python -m drrx.io.dicom_worker 2048 9 tells why)",
    errno.ESTALE: "a file that the file server no longer knows",
}


class Fault(NamedTuple):
    """Code, what was found, and what to do about it."""

    code: str
    found: str
    hint: str


def describe_fault(error: BaseException, root: Path | None = None) -> Fault:
    """Tell what an exception that is no ``DrrxError`` means.

    Parameters
    ----------
    error
        Whatever was raised.
    root
        Folder of the run: a file below it is named.

    Returns
    -------
    ``DISK_FULL`` for space and quota, ``CANNOT_WRITE`` for missing rights below ``root``, ``CANNOT_READ`` for missing
    rights elsewhere, ``IO_ERROR`` for every other trouble with files, ``OUT_OF_MEMORY``, or ``DEFECT`` of drrx.
    """
    # torch's own, of a GPU, is told by its name: this module must not wait for torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        hint = "Run again with fewer jobs at a time, or on a machine with more memory."
        return Fault("OUT_OF_MEMORY", "too little memory", hint)
    if not isinstance(error, OSError):
        return Fault("DEFECT", f"{type(error).__name__} at {name_place(error.__traceback__)}", REPORT)
    name = _name_file(error, root)
    number = error.errno or 0
    found = _WORDS.get(number, f"{type(error).__name__}, error number {number}") + (f": {name}" if name else "")
    if number in _FULL:
        return Fault("DISK_FULL", found, "Make room (docs/pipeline.md, Disk space) or raise the quota, then run again.")
    if number in _BARRED:
        inside = bool(name) or error.filename is None
        if number == errno.EROFS or inside:
            hint = "Give this user the right to write into the folder of the run, or name another: --config results=..."
            return Fault("CANNOT_WRITE", found, hint)
        return Fault("CANNOT_READ", found, "Give this user the right to read the files that the cohort table names.")
    return Fault("IO_ERROR", found, "Look after the disk and its network, then run again.")


def name_place(trace: TracebackType | None) -> str:
    """Return file, line and function in which an exception was raised, the last in drrx where there is one."""
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if _shorten(frame.filename).startswith("drrx/")] or frames
    return f"{_shorten(ours[-1].filename)}:{ours[-1].lineno} in {ours[-1].name}" if ours else "an unknown place"


def format_frames(error: BaseException) -> str:
    """Return the traceback of an exception and of its causes for a log: types and places, no messages, no source."""
    lines = []
    seen: BaseException | None = error
    while seen is not None:
        lines.append(f"{type(seen).__name__}" + (" raised" if seen is error else ", its cause"))
        frames = traceback.extract_tb(seen.__traceback__)
        lines += [f"  {_shorten(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(lines)


def _shorten(file: str) -> str:
    """Return a source file from its package on: where it is installed is nobody's business."""
    path = Path(file)
    root = Path(drrx.__file__).parent.parent
    if path.is_relative_to(root) and path.relative_to(root).parts[0] == "drrx":
        return path.relative_to(root).as_posix()
    return "/".join(path.parts[-2:])


def _name_file(error: OSError, root: Path | None) -> str:
    """Return the file that an error is about, if it lies below ``root``."""
    if root is None or not isinstance(error.filename, (str, bytes)):
        return ""
    path = Path(error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename)
    try:
        return path.absolute().relative_to(root.absolute()).as_posix()
    except ValueError:
        return ""
