"""That what a stage writes lands in the results folder, and that the folder is a run's."""

import os
from collections.abc import Iterable
from pathlib import Path

from drrx.errors import DrrxError


def check_inside(folders: Iterable[Path]) -> None:
    """Refuse to write into folders that lead elsewhere: one that is a link, or has a link for a folder below it.

    The results folder itself may be reached through links: that is where the user wants it.

    Raises
    ------
    DrrxError
        Names the first link.
    """
    for folder in folders:
        _refuse_links([folder])
        for top, names, _ in os.walk(folder):
            _refuse_links(Path(top, name) for name in sorted(names))


def _refuse_links(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_symlink():
            raise DrrxError(
                where="/".join(folder.parts[-3:]), found="a link in the place of a folder",
                needed="folders of the run's own below its results",
                hint="Remove the link; to keep results on another disk, name that folder: --config results=...",
            )  # fmt: skip


def check_results(results: Path) -> None:
    """Refuse a results folder with a ``dataset`` that is no run's: files of other data sets are removed from there.

    It is asked before Snakemake removes old outputs, and looks at no more than the names in that folder.

    Raises
    ------
    DrrxError
        There is a folder ``dataset``, and neither ``cases`` nor a table of shards beside it; or it leads elsewhere.
    """
    dataset = results / "dataset"
    _refuse_links([dataset])
    _refuse_links(sorted(path for path in dataset.glob("*") if path.is_dir()))
    if dataset.exists() and not ((results / "shards.tsv").exists() or (results / "cases").exists()):
        raise DrrxError(
            where=f"results: {results}", found="a folder 'dataset' that is not of a run of drrx",
            needed="a folder of drrx, or a new one", hint="Name another folder: --config results=...",
        )  # fmt: skip
