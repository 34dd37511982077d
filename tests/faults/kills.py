"""kill -9 again and again: stages at random times and at random file operations, drivers with their jobs left alive."""

import random
import shutil
import signal
import time
from pathlib import Path
from typing import IO

from drrx.config import STAGES
from tests.faults.driver import find_group, find_processes, find_stage, kill_all, send, start_driver
from tests.faults.stages import Pace, Zygote
from tests.faults.workshop import CONFIG, OTHER, Workshop

#: Kills of one stage in one round, at most; then it may finish.
MOST = 8


def kill_stages(workshop: Workshop, zygote: Zygote, trees: dict, pace: Pace, rng: random.Random, number: int) -> None:
    """Kill stages ``number`` times, round after round; every third round changes the settings midway and back."""
    done, turn = 0, 0
    while done < number:
        workshop.clear()
        turn += 1
        done += kill_round(workshop, zygote, CONFIG, pace, rng, number - done)
        if turn % 3 == 0 and done < number:
            done += kill_round(workshop, zygote, OTHER, pace, rng, number - done, only=STAGES[: rng.randint(1, 7)])
            done += kill_round(workshop, zygote, CONFIG, pace, rng, number - done)
            workshop.counts["rounds with other settings midway"] += 1
        workshop.compare(trees["plain"], f"stage round {turn}")
        workshop.counts["rounds of stages"] += 1


def kill_round(
    workshop: Workshop, zygote: Zygote, config: dict, pace: Pace, rng: random.Random, left: int, only: tuple = STAGES
) -> int:
    """Run the stages, each killed some times on the way, or for good when it is the last of ``only``."""
    done = 0
    for stage in only:
        for turn in range(MOST + 1):
            is_last = turn == MOST or done >= left or rng.random() < 0.07
            fault, seconds = (None, None) if is_last else pace.draw(rng, stage, "kill")
            pid = zygote.start(stage, config, fault)
            if seconds:
                time.sleep(seconds)
                send(pid, signal.SIGKILL)
            status = zygote.end()
            if status == -signal.SIGKILL:
                done += 1
                workshop.counts[f"kills of {stage}"] += 1
                workshop.counts["kills at a file operation" if fault else "kills at a time"] += 1
                workshop.check(f"{stage} killed {'at ' + str(fault['at']) if fault else f'after {seconds:.2f} s'}")
            elif status != 0:
                workshop.findings.append(f"{stage} ended with {status}: {zygote.said()[-400:]}")
            if status == 0:
                break
        else:
            workshop.findings.append(f"{stage} did not finish")
    return done


def kill_drivers(workshop: Workshop, trees: dict, rng: random.Random, number: int, longest_s: float) -> None:
    """Kill drivers ``number`` times; their jobs stay alive, some held until the next driver works.

    A round begins where a finished run has lost a stage and all after it, so that all stages are met alike.
    """
    done, turn = 0, 0
    finished = workshop.folder.parent / "finished"
    workshop.clear()
    start_driver(workshop).wait(timeout=900)
    shutil.copytree(workshop.folder, finished, symlinks=True)
    while done < number:
        turn += 1
        workshop.go_back(finished, STAGES[rng.randrange(len(STAGES))])
        held: dict[int, IO[str]] = {}
        said: list[IO[str]] = []
        while True:
            driver = start_driver(workshop)
            for pid in held:  # they go on in the middle of the next driver's work
                time.sleep(rng.uniform(0, longest_s / 2))
                workshop.counts["orphans waked beside the next driver"] += send(pid, signal.SIGCONT)
            said += held.values()
            held = {}
            may_end = done >= number or rng.random() < 0.03
            if _wait(driver, None if may_end else rng.uniform(0.5, longest_s)):
                break
            done += 1
            held = _kill_driver(workshop, driver, rng)
            workshop.check(f"driver round {turn}, kill {done}")
        if driver.returncode != 8:
            workshop.findings.append(f"driver round {turn}: status {driver.returncode}, {_read(workshop)[-1500:]}")
        _let_orphans_end(workshop)
        workshop.counts["woken orphans that were refused"] += sum("OUTPUT_TAKEN_OVER" in log.read() for log in said)
        workshop.counts["rounds of drivers"] += 1
        workshop.compare(trees["plain"], f"driver round {turn}")


def _kill_driver(workshop: Workshop, driver, rng: random.Random) -> dict[int, IO[str]]:
    """Kill `drrx run` or its Snakemake; return the jobs that were put to sleep, with what they say."""
    snakemake = find_processes(workshop.folder, "snakemake")
    told = {pid: find_stage(pid) for pid in find_processes(workshop.folder, "run-stage")}
    # Those of drivers that were killed before are in groups of their own.
    jobs = [pid for pid in told if snakemake and find_group(pid) == snakemake[0]]
    for stage in (told[pid] for pid in jobs):
        workshop.counts[f"drivers killed while a job of {stage} ran"] += 1
    if snakemake and rng.random() < 0.3:
        workshop.counts["kills of Snakemake"] += 1
        send(snakemake[0], signal.SIGKILL)
        driver.wait(timeout=30)
        if {*jobs} & {*find_processes(workshop.folder, "run-stage")}:
            workshop.findings.append("Snakemake was killed and its jobs were left")
        return {}
    driver.kill()
    driver.wait()
    workshop.counts["kills of drrx run"] += 1
    while {*snakemake} & {*find_processes(workshop.folder, "snakemake")}:
        time.sleep(0.01)
    # Not before: a group that becomes an orphan with sleepers in it is ended by the system.
    held = [pid for pid in jobs if rng.random() < 0.5 and send(pid, signal.SIGSTOP)]
    alive = find_processes(workshop.folder, "run-stage")
    workshop.counts["orphans alive after a kill"] += len({*jobs} & {*alive})
    # The next job of that name removes the log; who has it open still reads it.
    return {pid: log for pid in held if (log := _open_log(pid))}


def _open_log(pid: int) -> IO[str] | None:
    try:
        return Path(f"/proc/{pid}/fd/2").open(errors="replace")
    except OSError:
        return None


def _wait(driver, seconds: float | None) -> bool:
    """Return whether the driver ended by itself within so many seconds."""
    until = time.monotonic() + (seconds if seconds is not None else 600)
    while time.monotonic() < until:
        if driver.poll() is not None:
            return True
        time.sleep(0.02)
    return False


def _let_orphans_end(workshop: Workshop) -> None:
    until = time.monotonic() + 60
    while (left := find_processes(workshop.folder, "run-stage")) and time.monotonic() < until:
        for pid in left:
            send(pid, signal.SIGCONT)
        time.sleep(0.1)
    if left:
        workshop.findings.append(f"orphans {left} did not end")
        kill_all(workshop.folder)


def _read(workshop: Workshop) -> str:
    return (workshop.folder / "driver.log").read_text(errors="replace")
