"""Intermediate files of a case: taken away when its last stage is done, made again when a later run needs them."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from drrx.errors import DrrxError
from drrx.io.files import move_whole, read_json, remove, sha256_file
from drrx.io.temporary import name_temporary, sweep
from drrx.stages.batch import CaseJob, InputsLost, Stage
from drrx.stages.layout import CaseFolder, is_intermediate
from drrx.stages.registry import load_stage


def drop_intermediates(folder: CaseFolder) -> int:
    """Remove the intermediate files of a case; its records go on naming them with their hash.

    Returns
    -------
    Bytes freed. Nothing is removed of a case with a failed stage: somebody will want to look at it.
    """
    records = [read_json(path) for path in sorted((folder.folder / "stages").glob("[!.]*.json"))]
    if any(record["status"] == "failed" for record in records):
        return 0
    files = [path for path in sorted(folder.folder.rglob("*")) if path.is_file()]
    dropped = [path for path in files if is_intermediate(path.relative_to(folder.folder).as_posix())]
    freed = sum(path.stat().st_size for path in dropped)
    for path in dropped:
        remove(path)
    return freed


def bring_back(stage: Stage, job: CaseJob) -> list[Path]:
    """Make the intermediate files that ``stage`` reads and that are gone, each by the stage that it came from.

    It works in a copy of the case's folder made of links, with the settings and the seed on record, and moves a file to
    its place only when it has the SHA-256 on record. So no file that is there is ever touched.

    Returns
    -------
    The files that came back; none when all are there.

    Raises
    ------
    InputsLost
        The source of the case is gone or was changed, or a stage gives other bytes than before.
    """
    if not any(_find_lost(stage, job).values()):
        return []
    place = job.folder.results / "scratch"
    sweep(place, deep=False)  # of jobs that were killed
    scratch = CaseFolder(place / name_temporary(f"{job.row.case}-{stage.name}"), job.row.case)
    try:
        # Names with a dot belong to a file that another job is writing.
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(job.folder.folder, scratch.folder, copy_function=_link, ignore=hidden)
        names = _remake(stage, replace(job, folder=scratch))
        for name in names:
            move_whole(scratch.folder / name, job.folder.folder / name)
    finally:
        shutil.rmtree(scratch.results, ignore_errors=True)
        with contextlib.suppress(OSError):  # another job's scratch is in it
            scratch.results.parent.rmdir()
    return [job.folder.folder / name for name in names]


def _find_lost(stage: Stage, job: CaseJob) -> dict[str, dict[str, str]]:
    """Return name and SHA-256 of the files that ``stage`` reads and that are gone, by the stage that made them."""
    products = {maker: _read_record(job, maker)["products"] for maker in stage.upstream}
    return {
        maker: {
            name: sha256
            for name, sha256 in made.items()
            if is_intermediate(name, stage.reads) and not (job.folder.folder / name).is_file()
        }
        for maker, made in products.items()
    }


def _read_record(job: CaseJob, stage: str) -> Mapping[str, Any]:
    record: Mapping[str, Any] = read_json(job.folder.stage_record(stage))
    return record


def _remake(stage: Stage, job: CaseJob) -> list[str]:
    lost = {maker: files for maker, files in _find_lost(stage, job).items() if files}
    for name, files in lost.items():
        maker, record = load_stage(name), _read_record(job, name)
        _remake(maker, job)
        try:
            maker.run(replace(job, settings=record["settings"], seed=record["seed"]))
        except DrrxError as error:
            raise _tell(job, name, f"{error.where}: {error.found}", error.needed) from error
        for file, sha256 in files.items():
            path = job.folder.folder / file
            if not path.is_file() or sha256_file(path) != sha256:
                raise _tell(job, name, f"another {file} than before", "the very bytes that the images were made from")
    return [file for files in lost.values() for file in files]


def _tell(job: CaseJob, stage: str, found: str, needed: str) -> InputsLost:
    return InputsLost(
        where=f"case {job.row.case}, {stage} to make an intermediate file again", found=found, needed=needed,
        hint=f"Put the source of the case back as it was, or make the case anew: drrx run --forcerun {stage}.",
    )  # fmt: skip


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system cannot; stages replace files and never write into them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
