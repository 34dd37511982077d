"""The files of a case: which there are, in which order, and what they are called in messages."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drrx.errors import CaseRefused

FollowLinks = Literal["inside", "any"]


@dataclass(frozen=True)
class CaseFile:
    """A file and its ``label``: names of files often hold names of patients, so messages count instead."""

    path: Path
    label: str


def list_files(folder: Path, where: str, follow: FollowLinks, *, deep: bool = True) -> list[CaseFile]:
    """Return all regular files in ``folder``, with ``deep`` below it too, in the order of their names.

    Hidden files, what archives of a Mac leave, and DICOMDIR are left out; so are pipes, sockets and devices.

    Parameters
    ----------
    folder
        Folder of the case. It may be a link itself.
    where
        The case, for messages.
    follow
        ``inside``: links may lead to places inside the folder only. ``any``: wherever they lead.

    Raises
    ------
    CaseRefused
        ``LINK_ESCAPE``: a link leads out of the folder, nowhere, or back to a folder above itself.
    """
    paths = sorted(_walk(folder, (folder.resolve(),), where, follow, deep))
    return [CaseFile(path, f"file {number} of {len(paths)}") for number, path in enumerate(paths, 1)]


def _walk(folder: Path, trail: tuple[Path, ...], where: str, follow: FollowLinks, deep: bool) -> Iterator[Path]:
    """Yield files below ``folder``; ``trail`` are the true places of it and of the folders above it, root first."""
    for entry in os.scandir(folder):
        if entry.name.startswith((".", "__MACOSX")) or entry.name == "DICOMDIR":
            continue
        path = Path(entry.path)
        place = _follow(path, trail, where, follow) if entry.is_symlink() else trail[-1] / entry.name
        if place.is_dir():
            # A linked folder inside the root is listed where it stands.
            if deep and not (entry.is_symlink() and place.is_relative_to(trail[0])):
                yield from _walk(path, (*trail, place), where, follow, deep)
        elif stat.S_ISREG(place.stat().st_mode):
            yield path


def _follow(link: Path, trail: tuple[Path, ...], where: str, follow: FollowLinks) -> Path:
    """Return where a link leads."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 raise RuntimeError for a loop
        raise _refuse(where, "a link that leads nowhere", "Copy the file itself, or take the link away.") from error
    if target in (*trail, *trail[0].parents):
        raise _refuse(where, "a link back to a folder above it", "Take the link away.")
    if follow == "inside" and not target.is_relative_to(trail[0]):
        raise _refuse(
            where, "a link that leads out of the folder of the case",
            "Copy the files, or set read_ct.follow_links to any where your data are kept as links.",
        )  # fmt: skip
    return target


def _refuse(where: str, found: str, hint: str) -> CaseRefused:
    return CaseRefused("LINK_ESCAPE", where=where, found=found, needed="links that stay inside it", hint=hint)
