"""Which weights files may be opened: those whose SHA-256 stands in the package's list, or in a record beside them.

The hash is of the whole file and is compared before anything in it is looked at. A hash inside the file could be
changed with it. Nothing here needs torch: the workflow asks when it is parsed.
"""

import functools
import hashlib
import re
from pathlib import Path

import drrx
from drrx.errors import CaseFailed
from drrx.io.files import write_text

#: Lines of ``sha256sum``, with names relative to the package's folder.
LIST = Path(drrx.__file__).parent / "weights.sha256"
MAX_BYTES = 4 * 10**9
_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>[^\r\n]+)")


class WeightsRefused(CaseFailed):
    """Weights that are not used: the run stops.

    ``code`` is a stable word: ``MODEL_HASH`` (not the bytes that were recorded), ``MODEL_FORMAT`` (no whole weights
    file of drrx), ``MODEL_KIND`` (of another network) or ``TOO_LARGE``.
    """

    def __init__(self, code: str, path: Path, found: str, needed: str, hint: str = "") -> None:
        default = "Fetch the file again, train anew, or leave --weights out to use the delivered ones."
        super().__init__(code, where=str(path), found=f"{found} ({code})", needed=needed, hint=hint or default)


def record_beside(path: Path) -> Path:
    """Return where the record of a weights file's SHA-256 lies."""
    return path.with_name(f"{path.name}.sha256")


def write_record(path: Path, sha256: str) -> None:
    """Write the record of the weights ``path``, as ``sha256sum -c`` reads it."""
    write_text(record_beside(path), f"{sha256}  {path.name}\n")


@functools.cache
def read_delivered() -> dict[str, str]:
    """Return the SHA-256 of the delivered weights by their names relative to the package's folder."""
    lines = (_LINE.fullmatch(line) for line in LIST.read_text(encoding="utf-8").splitlines())
    return {line["name"]: line["sha256"] for line in lines if line}


def read_known(path: Path) -> bytes:
    """Return the bytes of a weights file that is known; they are read once, so that none can change after the check.

    Raises
    ------
    WeightsRefused
        It cannot be read, is larger than 4 GB, has no record, or is not what the record says.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsRefused("TOO_LARGE", path, f"{size} bytes", f"at most {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        said = error.strerror or str(error)
        raise WeightsRefused("MODEL_FORMAT", path, said, "a safetensors file written by drrx") from error
    _check(path, hashlib.sha256(data).hexdigest())
    return data


def check_known(path: Path) -> str:
    """Return the SHA-256 of a weights file that is known; raises as ``read_known``."""
    return hashlib.sha256(read_known(path)).hexdigest()


def _check(path: Path, sha256: str) -> None:
    delivered = read_delivered()
    root = LIST.parent.resolve()
    if path.resolve().is_relative_to(root):
        known = delivered.get(path.resolve().relative_to(root).as_posix(), "")
        needed = f"{known[:12]}, as listed in {LIST.name} of drrx" if known else f"a file listed in {LIST.name} of drrx"
    elif sha256 in delivered.values():
        return
    else:
        known = _read_record(path)
        needed = f"{known[:12]}, as in {record_beside(path).name}"
    if sha256 != known:
        raise WeightsRefused(
            "MODEL_HASH", path, f"SHA-256 {sha256[:12]}", needed,
            "The file was changed or damaged after it was recorded: fetch or copy it again, with its record.",
        )  # fmt: skip


def _read_record(path: Path) -> str:
    record = record_beside(path)
    try:
        text = record.read_bytes()[:4096].decode("utf-8", "replace")
    except OSError:
        text = ""
    line = _LINE.match(text)
    if not line:
        raise WeightsRefused(
            "MODEL_HASH", path, f"no SHA-256 in {record.name} beside it", "the record that training writes there",
            f"Copy {record.name} too. Without one: compare the file with its source, then run in its folder "
            f"`sha256sum {path.name} > {record.name}`.",
        )  # fmt: skip
    return line["sha256"]
