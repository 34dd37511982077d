"""CTs in a ``.zip`` or ``.tar``: unpacked into a folder that goes again, under limits, regular files only."""

import errno
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from isal import isal_zlib

from drrx.errors import CaseRefused
from drrx.io.plain import make_corrupt, open_plain
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import FREE_BYTES, open_stream
from drrx.io.temporary import name_temporary, sweep

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
#: Containers that people give and that are not opened.
OTHER_CONTAINERS = (".bz2", ".xz", ".7z", ".rar", ".zst", ".lz4", ".tbz", ".txz", ".lzma", ".z")
MAX_NUM_MEMBERS = 100_000
_CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_BAD_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


class _Budget:
    """What may still be unpacked."""

    def __init__(self, path: Path, settings: ReadCtSettings) -> None:
        self.path, self.settings, self.num_bytes, self.num_members = path, settings, 0, 0
        packed = max(path.stat().st_size, 1)
        self.limit = min(settings.max_unpacked_mb << 20, max(FREE_BYTES, int(settings.max_compression * packed)))

    def count_member(self) -> None:
        self.num_members += 1
        if self.num_members > MAX_NUM_MEMBERS:
            raise self._refuse(f"more than {MAX_NUM_MEMBERS:,} files")

    def count(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes
        if self.num_bytes > self.limit:
            raise self._refuse(f"more than {self.limit >> 20} MiB when unpacked")

    def _refuse(self, found: str) -> CaseRefused:
        return CaseRefused(
            "TOO_LARGE", where=self.path.name, found=f"an archive of {found}",
            needed=f"at most {self.settings.max_unpacked_mb} MiB, packed no further than "
            f"{self.settings.max_compression:g} : 1",
            hint="Unpack it yourself and give the folder, or raise read_ct.max_unpacked_mb.",
        )  # fmt: skip


@contextmanager
def unpack(path: Path, settings: ReadCtSettings) -> Iterator[Path]:
    """Unpack an archive into a temporary folder (in ``TMPDIR``) and yield that; it is removed at the end.

    Raises
    ------
    CaseRefused
        ``ARCHIVE_UNSAFE``: names that lead out, links, devices, the same name twice; ``TOO_LARGE``: beyond the limits;
        ``CORRUPT_FILE``: damaged (checksums are checked); ``UNSUPPORTED_CONTAINER``: encrypted, or a rare compression.
    """
    place = Path(tempfile.gettempdir())
    sweep(place, deep=False)  # what killed processes unpacked: it may be of patients
    folder = place / name_temporary("unpacked")
    folder.mkdir(mode=0o700)
    try:
        _unpack(path, folder, settings)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path, settings: ReadCtSettings) -> None:
    try:
        (_unpack_zip if path.name.lower().endswith(".zip") else _unpack_tar)(path, folder, settings)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, isal_zlib.error, EOFError, ValueError, OSError,
            NotImplementedError, RuntimeError) as error:  # type: ignore[misc] # fmt: skip
        # A .zip that points before its beginning gives EINVAL; other numbers are the machine's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise make_corrupt(path, f"an archive that cannot be unpacked ({type(error).__name__})") from error


def refuse_container(path: Path) -> CaseRefused:
    """Return the refusal of a container that drrx does not open."""
    return CaseRefused(
        "UNSUPPORTED_CONTAINER", where=path.name, found="a container that drrx does not open",
        needed=f"a folder or file, or one of {', '.join(ARCHIVES)} (not encrypted)",
        hint="Unpack it and give the folder or file.",
    )  # fmt: skip


def _unpack_zip(path: Path, folder: Path, settings: ReadCtSettings) -> None:
    budget = _Budget(path, settings)
    with open_plain(path) as raw, zipfile.ZipFile(raw) as archive:
        for member in archive.infolist():
            budget.count_member()
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.filename.endswith("/"):  # a folder; is_dir() wants a name
                continue
            if kind not in (0, stat.S_IFREG):
                raise _refuse_member(path, "a link or device")
            if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise refuse_container(path)
            with archive.open(member) as stream:
                _write_member(stream, _place(path, folder, member.filename), budget)


def _unpack_tar(path: Path, folder: Path, settings: ReadCtSettings) -> None:
    budget = _Budget(path, settings)
    with open_stream(path) as raw:
        # As a stream: it can be read only once, forward, and so no member can point to what came before.
        with tarfile.open(fileobj=raw, mode="r|") as archive:
            for member in archive:
                budget.count_member()
                if member.isdir():
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise _refuse_member(path, "a link or device")
                _write_member(stream, _place(path, folder, member.name), budget)
        while rest := raw.read(_CHUNK_BYTES):  # the checksum of gzip comes last
            budget.count(len(rest))


def _place(path: Path, folder: Path, name: str) -> Path:
    """Return where a member goes: below the folder, whatever its name says."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name or not pure.parts:
        raise _refuse_member(path, "a name that leads out of its folder")
    place = folder.joinpath(*pure.parts)
    if place.exists():
        raise _refuse_member(path, "the same name twice")
    return place


def _write_member(stream: IO[bytes], place: Path, budget: _Budget) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        target = place.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise _refuse_member(budget.path, "a file and a folder of the same name") from error
    except OSError as error:
        if error.errno not in _BAD_NAME:
            raise
        raise _refuse_member(budget.path, "a name that this system cannot hold") from error
    with target:
        while chunk := stream.read(_CHUNK_BYTES):
            budget.count(len(chunk))
            target.write(chunk)


def _refuse_member(path: Path, found: str) -> CaseRefused:
    return CaseRefused(
        "ARCHIVE_UNSAFE", where=path.name, found=f"an archive with {found}",
        needed="regular files below its own top folder", hint="Unpack it with care and give the folder.",
    )  # fmt: skip
