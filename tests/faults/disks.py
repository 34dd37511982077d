"""Disks that fill up or fail, quotas, folders that may only be read: a code for each, and nothing half written.

Real ones where we may mount (root): a tmpfs of a chosen size, mounted again for reading only. Elsewhere and for what no
tmpfs does (quota, failing disk, an error when a file is synced or renamed) the operation itself fails in the stage.
"""

import errno
import json
import os
import random
import subprocess
from contextlib import contextmanager
from pathlib import Path

from drrx.config import STAGES
from tests.faults.driver import start_driver
from tests.faults.stages import Pace, Zygote
from tests.faults.workshop import CONFIG, Workshop, hash_if_there, list_temporary

CODES = {
    errno.ENOSPC: "DISK_FULL", errno.EDQUOT: "DISK_FULL", errno.EROFS: "CANNOT_WRITE", errno.EACCES: "CANNOT_WRITE",
    errno.EIO: "IO_ERROR",
}  # fmt: skip
LARGE = 2**30


def may_mount(folder: Path) -> bool:
    """Return whether this user may mount a tmpfs."""
    place = folder / "try"
    place.mkdir(parents=True, exist_ok=True)
    try:
        _mount(place, "-t", "tmpfs", "none")
    except (subprocess.CalledProcessError, OSError):
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True


def _mount(place: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)


@contextmanager
def mount(workshop: Workshop):
    """Put the results on a tmpfs; yield what sets its size, and whether it may be written."""
    workshop.clear()
    _mount(workshop.results, "-t", "tmpfs", "-o", f"size={LARGE}", "none")
    try:
        workshop.clear()
        yield lambda option: _mount(workshop.results, "-o", f"remount,{option}")
    finally:
        subprocess.run(["umount", "-l", str(workshop.results)], check=True)


def used_bytes(folder: Path) -> int:
    told = os.statvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def fill_disk(workshop: Workshop, zygote: Zygote, trees: dict, rng: random.Random, number: int) -> None:
    """Let every stage meet a full disk some times, ``number`` in all; then make room and go on."""
    needs = _measure_needs(workshop, zygote)
    done = 0
    while done < number:
        with mount(workshop) as remount:
            for stage in STAGES:
                for _ in range(3 if done < number else 0):
                    size = used_bytes(workshop.results) + int(needs[stage] * rng.uniform(0, 0.95)) // 4096 * 4096
                    remount(f"size={max(size, 4096)}")
                    status = zygote.run(stage, CONFIG)
                    if status == 0:
                        workshop.counts["full disks that were large enough"] += 1
                        continue
                    done += 1
                    workshop.counts[f"full disks under {stage}"] += 1
                    _check_told(workshop, zygote, stage, status, "DISK_FULL", "full disk")
                remount(f"size={LARGE}")
                _finish(workshop, zygote, stage, "full disk")
            workshop.compare(trees["plain"], "full disk")


def _measure_needs(workshop: Workshop, zygote: Zygote) -> dict[str, int]:
    needs = {}
    with mount(workshop):
        for stage in STAGES:
            before = used_bytes(workshop.results)
            _finish(workshop, zygote, stage, "measured")
            needs[stage] = used_bytes(workshop.results) - before
    return needs


def _finish(workshop: Workshop, zygote: Zygote, stage: str, what: str) -> None:
    status = zygote.run(stage, CONFIG)
    if status != 0:
        workshop.findings.append(f"{what}: {stage} did not go on, status {status}: {zygote.said()[-400:]}")


def _check_told(workshop: Workshop, zygote: Zygote, stage: str, status: int, code: str, what: str) -> None:
    """The job must fail with the code, in its last lines or in a case's record, and without a half file."""
    records = [json.loads(path.read_bytes()) for path in workshop.results.glob(f"cases/*/stages/{stage}.json")]
    told = f"[{code}]" in zygote.said() or any(record["code"] == code for record in records)
    if status != 1 or not told:
        workshop.findings.append(f"{what}: {stage} ended with {status}, not {code}: {zygote.said()[-600:]}")
    if any(record["status"] == "refused" and record["code"] != "CORRUPT_FILE" for record in records):
        workshop.findings.append(f"{what}: {stage} took it for a fault of the case")
    if "Traceback" in zygote.said():
        workshop.findings.append(f"{what}: {stage} shows a traceback")
    workshop.findings += [f"{what}: {stage} left {name}" for name in list_temporary(workshop.results)]
    _check_files(workshop, f"{what} under {stage}")


def _check_files(workshop: Workshop, what: str) -> None:
    """As always, but records of failed cases may be there."""
    failed = {
        path.relative_to(workshop.results).as_posix()
        for path in workshop.results.glob("cases/*/stages/*.json")
        if json.loads(path.read_bytes())["status"] == "failed"
    }
    known = workshop.expected
    workshop.expected = known | {
        name: known.get(name, set()) | {hash_if_there(workshop.results / name)} for name in failed
    }
    workshop.check(what)
    workshop.expected = known


def fail_operations(
    workshop: Workshop, zygote: Zygote, trees: dict, pace: Pace, rng: random.Random, number: int
) -> None:
    """Let an operation on a file fail in every stage, once or from then on, ``number`` times in all."""
    done = 0
    while done < number:
        workshop.clear()
        for stage in STAGES:
            for error in rng.sample(sorted(CODES), 3 if done < number else 0):
                fault = {"kind": "error", "at": rng.randint(1, pace.operations[stage]), "number": error}
                status = zygote.run(stage, CONFIG, fault | {"lasting": rng.random() < 0.5})
                if status == 0:
                    continue
                done += 1
                workshop.counts[f"operations that failed with {errno.errorcode[error]}"] += 1
                _check_told(workshop, zygote, stage, status, CODES[error], f"{errno.errorcode[error]} at {fault['at']}")
            _finish(workshop, zygote, stage, "failed operation")
        workshop.compare(trees["plain"], "failed operation")


def cut_files(workshop: Workshop, zygote: Zygote, trees: dict) -> None:
    """Let the system cut every write beyond some size, in the middle of a file (RLIMIT_FSIZE)."""
    workshop.clear()
    for stage in STAGES:
        status = zygote.run(stage, CONFIG, max_bytes=4096)
        if status != 0:
            workshop.counts["files cut by the system"] += 1
            _check_told(workshop, zygote, stage, status, "IO_ERROR", "cut file")
        _finish(workshop, zygote, stage, "cut file")
    workshop.compare(trees["plain"], "cut file")


def bar_writing(workshop: Workshop, zygote: Zygote, trees: dict) -> None:
    """Let every stage and the driver meet a folder that may only be read."""
    with mount(workshop) as remount:
        for stage in STAGES:
            remount("ro")
            status = zygote.run(stage, CONFIG)
            workshop.counts["read-only folders"] += 1
            _check_told(workshop, zygote, stage, status, "CANNOT_WRITE", "read-only")
            if stage == STAGES[0]:
                _check_driver(workshop, "CANNOT_WRITE")
            remount("rw")
            _finish(workshop, zygote, stage, "read-only")
        workshop.compare(trees["plain"], "read-only")


def fill_disk_under_driver(workshop: Workshop, trees: dict, rng: random.Random) -> None:
    """A whole run on a disk that is too small, then on one that is not."""
    for size in (4096, 2**20, 6 * 2**20):
        with mount(workshop) as remount:
            remount(f"size={used_bytes(workshop.results) + size}")
            _check_driver(workshop, "DISK_FULL")
            workshop.counts["full disks under drrx run"] += 1
            remount(f"size={LARGE}")
            driver = start_driver(workshop)
            if driver.wait(timeout=600) != 8:
                workshop.findings.append(f"driver did not go on after a full disk: {driver.returncode}")
            workshop.compare(trees["plain"], "full disk under the driver")


def _check_driver(workshop: Workshop, code: str) -> None:
    log = workshop.folder / "driver.log"
    log.unlink(missing_ok=True)
    status = start_driver(workshop).wait(timeout=600)
    said = log.read_text(errors="replace")
    if status in (0, 8) or f"{code}" not in said:
        workshop.findings.append(f"driver: status {status}, no {code}: {said[-1500:]}")
