"""How far a run is: cases done, refused and left, the rate, and the time it still takes."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drrx.config import STAGES
from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json

LAST_STAGE = STAGES[-2]
Step = tuple[str, str]
"""A stage and a shard; the shard is empty for the data set as a whole."""


def status_file(results: Path) -> Path:
    """Return where a run writes its line, among the logs: no result depends on it."""
    return results / "logs" / "progress.json"


@dataclass
class Progress:
    """One run's progress.

    Attributes
    ----------
    results
        Folder of the run.
    num_cases
        Cases by shard, all of the cohort table.
    planned
        The steps that this run does, each with the seconds that it is expected to take; only their ratios matter.
    start
        When the run began, s.
    """

    results: Path
    num_cases: Mapping[str, int]
    planned: Mapping[Step, float]
    start: float = field(default_factory=time.time)
    _refused: dict[str, int] = field(default_factory=dict)

    def tell(self, finished: Collection[Step], now: float, state: str = "running") -> str:
        """Return the line for the steps of ``planned`` that are finished, and write it to the status file."""
        open_shards = {shard for stage, shard in self.planned if stage == LAST_STAGE and (stage, shard) not in finished}
        closed = [shard for shard in self.num_cases if shard not in open_shards]
        total, done = sum(self.num_cases.values()), sum(self.num_cases[shard] for shard in closed)
        refused = sum(self._count_refused(shard) for shard in closed)
        now_done = sum(self.num_cases[shard] for stage, shard in finished if stage == LAST_STAGE)
        elapsed_s = max(now - self.start, 1e-3)
        parts = [f"cases {done - refused} done, {refused} refused, {total - done} left of {total}"]
        if now_done:
            parts.append(f"{3600 * now_done / elapsed_s:,.0f} an hour")
        share = sum(self.planned[step] for step in finished) / max(sum(self.planned.values()), 1e-9)
        if state == "running" and share > 0:
            parts.append(f"about {tell_time(elapsed_s * (1 - share) / share)} left")
        line = f"{100 * share:.0f} %: {'; '.join(parts)}"
        facts = {"cases": total, "done": done - refused, "refused": refused, "left": total - done}
        write_json(status_file(self.results), {"state": state, "line": line, "time": now, "start": self.start} | facts)
        return line

    def _count_refused(self, shard: str) -> int:
        """Return how many cases of a finished shard are not in the data set; each shard's record is read once."""
        if shard not in self._refused:
            statuses = [case["status"] for case in read_cases(self.results, LAST_STAGE, shard).values()]
            self._refused[shard] = sum(status != "done" for status in statuses)
        return self._refused[shard]


def read_cases(results: Path, stage: str, shard: str) -> dict[str, Any]:
    """Return the outcomes by case of a shard's record; none when it is not there or damaged."""
    try:
        return dict(read_json(results / "records" / stage / f"{shard}.json")["cases"])
    except (DrrxError, KeyError, TypeError):
        return {}


def tell_time(seconds: float) -> str:
    """Return a time in the two largest of its units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def tell_status(results: Path, now: float) -> str:
    """Return the last line that a run wrote, and how old it is.

    Raises
    ------
    DrrxError
        No run wrote one there.
    """
    path = status_file(results)
    if not path.is_file():
        raise DrrxError(
            where=str(results), found="no run that told how far it is", needed="the results folder of a run",
            hint="Start one: drrx run.",
        )  # fmt: skip
    told = read_json(path)
    age = f"{tell_time(max(now - told['time'], 0))} ago"
    return f"{told['line']} ({told['state']}, told {age}, {tell_time(told['time'] - told['start'])} after the start)"
