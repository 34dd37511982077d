"""SIGTERM, as batch systems send it before they kill: a clean end within 20 seconds, and the rest later."""

import random
import signal
import time

from drrx.config import STAGES
from tests.faults.driver import find_processes, kill_all, send, start_driver
from tests.faults.stages import Pace, Zygote
from tests.faults.workshop import CONFIG, Workshop, list_temporary

LIMIT_S = 20.0


def stop_stages(workshop: Workshop, zygote: Zygote, trees: dict, pace: Pace, rng: random.Random, number: int) -> list:
    """Stop stages ``number`` times; return the seconds that each took to end."""
    took: list[float] = []
    turn = 0
    while len(took) < number:
        workshop.clear()
        turn += 1
        for stage in STAGES:
            for _ in range(6):
                fault, seconds = pace.draw(rng, stage, "term")
                if len(took) >= number:
                    fault, seconds = None, 0.0
                if _stop_stage(workshop, zygote, stage, fault, seconds, took):
                    break
            else:
                zygote.run(stage, CONFIG)
        workshop.compare(trees["plain"], f"SIGTERM round {turn}")
        workshop.counts["rounds of SIGTERM to stages"] += 1
    return took


def _stop_stage(workshop: Workshop, zygote: Zygote, stage: str, fault, seconds: float, took: list[float]) -> bool:
    """Send one SIGTERM; return whether the stage was faster."""
    pid = zygote.start(stage, CONFIG, fault)
    start = time.monotonic()
    if seconds:
        time.sleep(seconds)
        start = time.monotonic()
        send(pid, signal.SIGTERM)
    status = zygote.end()
    if status == 0:
        return True
    if fault:
        start = float(zygote.log.with_name("stage.log.at").read_text())
    took.append(time.monotonic() - start)
    what = f"{stage} stopped {'at ' + str(fault['at']) if fault else f'after {seconds:.2f} s'}"
    workshop.counts["SIGTERM to stages"] += 1
    workshop.counts[f"status {status} after SIGTERM to a stage"] += 1
    # Before and after its work SIGTERM ends a program as it is; a shell calls both 143.
    if status not in (143, -signal.SIGTERM):
        workshop.findings.append(f"{what}: status {status}, {zygote.said()[-300:]}")
    if took[-1] > LIMIT_S:
        workshop.findings.append(f"{what}: took {took[-1]:.1f} s")
    workshop.findings += [f"{what}: {name} is left" for name in list_temporary(workshop.results)]
    workshop.check(what)
    return False


def stop_drivers(workshop: Workshop, trees: dict, rng: random.Random, number: int, longest_s: float) -> list[float]:
    """Stop drivers ``number`` times, each with its jobs; return the seconds that each took to end."""
    took: list[float] = []
    turn = 0
    while len(took) < number:
        workshop.clear()
        turn += 1
        while True:
            driver = start_driver(workshop)
            until = time.monotonic() + (rng.uniform(0.3, longest_s) if len(took) < number else 600)
            while time.monotonic() < until and driver.poll() is None:
                time.sleep(0.02)
            if driver.poll() is not None:
                break
            what = f"driver stopped, round {turn}, {len(took) + 1}"
            jobs = len(find_processes(workshop.folder, "run-stage"))
            start = time.monotonic()
            driver.send_signal(signal.SIGTERM)
            driver.wait()
            took.append(time.monotonic() - start)
            workshop.counts["SIGTERM to drrx run"] += 1
            workshop.counts["jobs that were running at SIGTERM to drrx run"] += jobs
            workshop.counts[f"status {driver.returncode} after SIGTERM to drrx run"] += 1
            _check_stopped(workshop, what, driver.returncode, took[-1])
        if driver.returncode != 8:
            workshop.findings.append(f"SIGTERM driver round {turn}: status {driver.returncode}")
        workshop.compare(trees["plain"], f"SIGTERM driver round {turn}")
        workshop.counts["rounds of SIGTERM to drivers"] += 1
    return took


def _check_stopped(workshop: Workshop, what: str, status: int, seconds: float) -> None:
    # The first tenths of a second of a Python program are before its first line, where SIGTERM ends it as it is.
    if status not in (143, -signal.SIGTERM):
        workshop.findings.append(f"{what}: status {status}")
    if seconds > LIMIT_S:
        workshop.findings.append(f"{what}: took {seconds:.1f} s")
    for word in ("snakemake", "run-stage"):
        if find_processes(workshop.folder, word):
            workshop.findings.append(f"{what}: {word} still runs")
            kill_all(workshop.folder)
    workshop.findings += [f"{what}: {name} is left" for name in list_temporary(workshop.results)]
    workshop.findings += [f"{what}: {path.name} is left" for path in workshop.results.glob(".drrx-owner-*")]
    workshop.check(what)
