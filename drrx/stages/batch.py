"""One stage over the cases of a shard: skip what is done, go on after a refused case, record every outcome."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drrx
from drrx.environment import read_environment
from drrx.errors import CaseFailed, CaseRefused, DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.faults import describe_fault, format_frames
from drrx.io.fence import OwnerLost
from drrx.io.files import read_json, remove, sha256_file, write_json
from drrx.io.temporary import sweep
from drrx.stages.inside import check_inside
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


_HINT_LOST = "Run again. If {name} of the case is still there, delete it first and add --forcerun {maker}."
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
    or of the machine (``drrx.io.faults``), or its files changed while they were read (``INPUT_CHANGED``); the next run
    tries it again.

    Raises
    ------
    OwnerLost
        Another driver has taken over the folder; nothing was written since.
    OSError
        Not even the record of the case could be written.
    DrrxError
        A case's folder is a link, or has one for a folder (``drrx.stages.inside``).
    """
    check_inside(job.folder.folder for job in jobs)
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
    place = job.folder.stage_record(stage.name)
    upstream = {name: read_json(job.folder.stage_record(name)) for name in stage.upstream}
    stopped = next((record for record in upstream.values() if record["status"] != "done"), None)
    if stopped is not None:
        outcome = {**stopped, "status": "skipped", "products": {}}
        write_json(place, outcome)
        return outcome, f"skipped, {stopped['code']} upstream"
    given = {name: record["products"] for name, record in upstream.items()}
    signature, unknown = _sign(stage, job)
    said = [stage.name, code, job.row.case, job.settings, job.seed, given, signature]
    fingerprint = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    old = _read_outcome(place)
    if old and _is_good(old, fingerprint, job.folder, keep_all):
        return old, f"{old['status']} before"
    if unknown is None:
        sweep(job.folder.folder)
        tried = _check_unchanged(stage, job, signature, _try_case(stage, job, given, bring_back))
    else:
        tried = unknown
    outcome = {"fingerprint": fingerprint, "settings": dict(job.settings), "seed": job.seed} | tried
    outcome["made_by"] = {"drrx": drrx.__version__, "code": code, "environment": read_environment()}
    write_json(place, outcome)
    return outcome, " ".join(filter(None, (outcome["status"], outcome["code"], outcome["detail"])))


def _sign(stage: Stage, job: CaseJob) -> tuple[str, dict[str, Any] | None]:
    """Return what else the case depends on, and the outcome of a case for which that cannot be told."""
    try:
        return stage.depends(job), None
    except OSError as error:
        return "", _fail(error, job)


def _check_unchanged(stage: Stage, job: CaseJob, before: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome; a failed one when the source was written while it was read: nobody knows what was read."""
    if outcome["code"] in ("DISK_FULL", "OUT_OF_MEMORY") or _sign(stage, job)[0] == before:
        return outcome
    detail = f"case {job.row.case}: its files were changed while they were read."
    return outcome | {
        "status": "failed", "code": "INPUT_CHANGED", "detail": detail, "products": {}, "bytes": 0,
        "hint": "Run again when whatever writes them has finished.",
    }  # fmt: skip


def _try_case(
    stage: Stage, job: CaseJob, given: Mapping[str, Mapping[str, str]], bring_back: BringBack | None
) -> dict[str, Any]:
    """Run the stage and return status, code, detail, hint and products."""
    outcome: dict[str, Any] = {"status": "done", "code": "", "detail": "", "hint": "", "products": {}, "bytes": 0}
    try:
        if bring_back:
            bring_back(stage, job)
        # From here on the files are no longer those of the old record: killed midway, the case must not pass for done.
        remove(job.folder.stage_record(stage.name))
        products = sorted(stage.run(job))
        root = job.folder.folder
        outcome["products"] = {path.relative_to(root).as_posix(): sha256_file(path) for path in products}
        outcome["bytes"] = sum(path.stat().st_size for path in products)
        return outcome
    except OwnerLost:  # nothing may be written any more, no record either
        raise
    except CaseRefused as error:
        return outcome | _tell("refused", error.code, error)
    except InputsLost as error:
        return outcome | _tell("failed", "INPUTS_LOST", error)
    except CaseFailed as error:
        return outcome | _tell("failed", error.code, error)
    except DrrxError as error:
        lost = _find_damaged(job, given)
        return outcome | (_tell("failed", "INPUTS_LOST", lost) if lost else _tell("refused", "ERROR", error))
    except Exception as error:  # one poisonous case must not take the others down
        return outcome | _fail(error, job)


def _tell(status: str, code: str, error: DrrxError) -> dict[str, Any]:
    detail = f"{error.where}: found {error.found}; needed {error.needed}."
    return {"status": status, "code": code, "detail": detail, "hint": error.hint}


def _fail(error: Exception, job: CaseJob) -> dict[str, Any]:
    """Return the outcome of a case that failed for no fault of its data; what the exception says may hold data."""
    log.error("%s", format_frames(error))
    fault = describe_fault(error, job.folder.results)
    detail = f"case {job.row.case}: {fault.found}."
    return {"status": "failed", "code": fault.code, "detail": detail, "hint": fault.hint, "products": {}, "bytes": 0}


def _find_damaged(job: CaseJob, given: Mapping[str, Mapping[str, str]]) -> InputsLost | None:
    """Look for a file of a stage above that is not what its record says; an intermediate one is removed.

    So a file that a stage could not read is no fault of the case, and the next try makes it again (``bring_back``).
    """
    for maker, products in given.items():
        for name, sha256 in products.items():
            path = job.folder.folder / name
            if is_intermediate(name) and not path.exists():
                continue
            try:
                if sha256_file(path) == sha256:
                    continue
            except OSError as error:
                log.error("%s", format_frames(error))
            if is_intermediate(name):
                remove(path)
            return InputsLost(
                where=f"case {job.row.case}, {name}", found="another file than the one on record, or none",
                needed=f"the file that {maker} wrote", hint=_HINT_LOST.format(name=name, maker=maker),
            )  # fmt: skip
    return None


def _read_outcome(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None


def _is_good(old: Mapping[str, Any], fingerprint: str, folder: CaseFolder, keep_all: bool) -> bool:
    """Return whether an outcome still holds. A failure never does: more memory, or the disk back, may mend it."""
    if old["status"] == "failed" or old["fingerprint"] != fingerprint:
        return False
    needed = (name for name in old["products"] if keep_all or not is_intermediate(name))
    if not all((folder.folder / name).is_file() for name in needed):
        return False
    # Where all are there, a file that was cut short shows in their size; `drrx verify` compares every byte.
    sizes = [path.stat().st_size for path in (folder.folder / name for name in old["products"]) if path.is_file()]
    return len(sizes) < len(old["products"]) or sum(sizes) == old["bytes"]
