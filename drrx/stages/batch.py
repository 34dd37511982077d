"""One stage over the cases of a shard: skip what is done, go on after a refused case, record every outcome."""

import hashlib
import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drrx
from drrx.environment import read_environment
from drrx.errors import CaseRefused, DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, sha256_file, write_json
from drrx.stages.layout import CaseFolder, is_intermediate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseJob:
    """What a stage is told about one case.

    Attributes
    ----------
    row
        The case's row of the cohort table.
    folder
        Where its files lie.
    settings
        The stage's section of the configuration and the keys it shares with others.
    seed
        Master seed of the run.
    """

    row: CohortRow
    folder: CaseFolder
    settings: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Stage:
    """A stage: its function, the stages whose products it reads, and what else its results depend on.

    ``run`` gets a job and returns the files it wrote. ``depends`` returns text that changes when the case must be done
    again although nothing else changed (a source file's signature, a weights hash). ``reads`` are patterns of the
    intermediate files (``is_intermediate``) that it opens, relative to the case's folder.
    """

    name: str
    run: Callable[[CaseJob], Sequence[Path]]
    upstream: tuple[str, ...] = ()
    depends: Callable[[CaseJob], str] = field(default=lambda job: "")
    reads: tuple[str, ...] = ()


class InputsLost(DrrxError):
    """An intermediate file is gone and could not be made again as it was: the case fails until that is mended."""


BringBack = Callable[[Stage, CaseJob], object]


def run_batch(
    stage: Stage, jobs: Sequence[CaseJob], code: str, *, keep_all: bool = True, bring_back: BringBack | None = None
) -> dict[str, Any]:
    """Run ``stage`` on every job and return the outcomes by case, JSON-ready.

    Parameters
    ----------
    stage
        What to run.
    jobs
        One per case.
    code
        Fingerprint of the stage's code; a change does every case again.
    keep_all
        A case whose intermediate products are gone is done again; else that is how it should be.
    bring_back
        Makes the intermediate files that the stage reads and that are gone (``drrx.stages.remake.bring_back``);
        ``InputsLost`` where it cannot.

    Returns
    -------
    For each case ``status`` (``done``, ``refused``, ``skipped`` after a refusal upstream, ``failed``), ``code``,
    ``detail``, ``hint``, ``fingerprint``, the ``products`` with their sha256, their ``bytes`` together, ``settings``
    and ``seed`` they were made with, and ``made_by``: version, code and environment. A failed case is a defect of drrx
    or of the machine, not of the data; the next run tries it again.
    """
    outcomes: dict[str, Any] = {}
    for number, job in enumerate(jobs, 1):
        start = time.monotonic()
        outcome, note = _run_case(stage, job, code, keep_all, bring_back)
        outcomes[job.row.case] = outcome
        spent = time.monotonic() - start
        log.info("%s %d/%d %s: %s (%.1f s)", stage.name, number, len(jobs), job.row.case, note, spent)
    return outcomes


def _run_case(
    stage: Stage, job: CaseJob, code: str, keep_all: bool, bring_back: BringBack | None
) -> tuple[dict[str, Any], str]:
    upstream = {name: read_json(job.folder.stage_record(name)) for name in stage.upstream}
    stopped = next((record for record in upstream.values() if record["status"] != "done"), None)
    if stopped is not None:
        outcome = {**stopped, "status": "skipped", "products": {}}
        write_json(job.folder.stage_record(stage.name), outcome)
        return outcome, f"skipped, {stopped['code']} upstream"
    given = {name: record["products"] for name, record in upstream.items()}
    said = [stage.name, code, job.row.case, job.settings, job.seed, given, stage.depends(job)]
    fingerprint = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    old = _read_outcome(job.folder.stage_record(stage.name))
    if old and _is_good(old, fingerprint, job.folder, keep_all):
        return old, f"{old['status']} before"
    outcome = {"fingerprint": fingerprint, "settings": dict(job.settings), "seed": job.seed} | _try_case(
        stage, job, bring_back
    )
    outcome["made_by"] = {"drrx": drrx.__version__, "code": code, "environment": read_environment()}
    write_json(job.folder.stage_record(stage.name), outcome)
    return outcome, " ".join(filter(None, (outcome["status"], outcome["code"], outcome["detail"])))


def _try_case(stage: Stage, job: CaseJob, bring_back: BringBack | None) -> dict[str, Any]:
    """Run the stage and return status, code, detail, hint and products."""
    outcome: dict[str, Any] = {"status": "done", "code": "", "detail": "", "hint": "", "products": {}, "bytes": 0}
    try:
        if bring_back:
            bring_back(stage, job)
        products = sorted(stage.run(job))
        root = job.folder.folder
        outcome["products"] = {path.relative_to(root).as_posix(): sha256_file(path) for path in products}
        outcome["bytes"] = sum(path.stat().st_size for path in products)
    except DrrxError as error:
        status, name = ("failed", "INPUTS_LOST") if isinstance(error, InputsLost) else ("refused", "ERROR")
        name = error.code if isinstance(error, CaseRefused) else name
        detail = f"{error.where}: found {error.found}; needed {error.needed}."
        outcome |= {"status": status, "code": name, "detail": detail, "hint": error.hint}
    except Exception as error:  # one poisonous case must not take the others down
        log.error("%s", traceback.format_exc())
        name, hint = "DEFECT", "Report it with the stage's log."
        if isinstance(error, MemoryError):
            name, hint = "OUT_OF_MEMORY", "Run again with fewer jobs at a time, or on a machine with more memory."
        outcome |= {"status": "failed", "code": name, "detail": f"{type(error).__name__}: {error}", "hint": hint}
    return outcome


def _read_outcome(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None


def _is_good(old: Mapping[str, Any], fingerprint: str, folder: CaseFolder, keep_all: bool) -> bool:
    """Return whether an outcome still holds. A failure never does: more memory, or the disk back, may mend it."""
    if old["status"] == "failed" or old["fingerprint"] != fingerprint:
        return False
    needed = (name for name in old["products"] if keep_all or not is_intermediate(name))
    return all((folder.folder / name).is_file() for name in needed)
