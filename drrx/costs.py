"""What a run cost, stage by stage: time, memory and bytes, from Snakemake's benchmark files and the shards' records."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from drrx.config import STAGES
from drrx.io.files import write_text
from drrx.progress import read_cases, tell_time


@dataclass(frozen=True)
class StageSummary:
    """One stage over all its jobs, each as it was when it last ran.

    Attributes
    ----------
    stage
        Its name.
    jobs, cases
        How many jobs left a benchmark file, and how many cases they brought to an end, refused ones not counted.
    wall_s, cpu_s
        Sums over the jobs; jobs run side by side, so that the run took less.
    peak_mb
        Largest resident memory of a job.
    written_bytes
        Size of the products of the cases, of those too that ``keep: dataset`` removes.
    """

    stage: str
    jobs: int
    cases: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    written_bytes: int


def summary_file(results: Path) -> Path:
    """Return where the summary lies, beside what it is made from: no result depends on it."""
    return results / "benchmarks" / "summary.tsv"


def summarise_run(results: Path, shards: Iterable[str]) -> tuple[StageSummary, ...]:
    """Sum up every stage over ``shards``; a stage that never ran is left out."""
    shards = tuple(shards)
    found = [_summarise_stage(results, stage, shards) for stage in STAGES]
    return tuple(summary for summary in found if summary.jobs)


def _summarise_stage(results: Path, stage: str, shards: Sequence[str]) -> StageSummary:
    folder, names = results / "benchmarks", [f"{stage}/{shard}.tsv" for shard in shards]
    if stage == STAGES[-1]:  # one job for all
        names, shards = [f"{stage}.tsv"], ()
    rows = [row for name in names for row in _read_benchmark(folder / name)]
    cases = [case for shard in shards for case in read_cases(results, stage, shard).values()]
    written = sum(int(case.get("bytes", 0)) for case in cases)
    if stage == STAGES[-1]:
        # Images are links to the files of the cases, so that only what is not linked counts.
        files = (path.stat() for path in (results / "dataset").rglob("*") if path.is_file())
        written = sum(facts.st_size for facts in files if facts.st_nlink == 1)
    return StageSummary(
        stage, len(rows), sum(case["status"] == "done" for case in cases), sum(_number(row, "s") for row in rows),
        sum(_number(row, "cpu_time") for row in rows), max((_number(row, "max_rss") for row in rows), default=0.0),
        written,
    )  # fmt: skip


def _read_benchmark(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _number(row: dict[str, str], name: str) -> float:
    try:
        return float(row.get(name) or 0)
    except ValueError:  # "NA" or "-" where a job was over before it was looked at
        return 0.0


def write_summary(results: Path, summaries: Sequence[StageSummary]) -> Path:
    """Write the table as ``benchmarks/summary.tsv`` with the names of ``StageSummary`` as columns."""
    lines = ["\t".join(field.name for field in fields(StageSummary))]
    lines += ["\t".join(str(value) for value in astuple(summary)) for summary in summaries]
    path = summary_file(results)
    write_text(path, "\n".join(lines) + "\n")
    return path


def format_summary(summaries: Sequence[StageSummary]) -> str:
    """Return the table for a person, with a line for the whole."""
    whole = StageSummary(
        "whole", sum(each.jobs for each in summaries), 0, sum(each.wall_s for each in summaries),
        sum(each.cpu_s for each in summaries), max((each.peak_mb for each in summaries), default=0.0),
        sum(each.written_bytes for each in summaries),
    )  # fmt: skip
    lines = [f"{'stage':<16} {'jobs':>6} {'cases':>7} {'wall':>12} {'CPU':>12} {'peak memory':>12} {'written':>12}"]
    for each in (*summaries, whole):
        times = f"{tell_time(each.wall_s):>12} {tell_time(each.cpu_s):>12}"
        sizes = f"{each.peak_mb:>9,.0f} MB {each.written_bytes / 1e6:>9,.1f} MB"
        lines.append(f"{each.stage:<16} {each.jobs:>6} {each.cases or '':>7} {times} {sizes}")
    return "\n".join(lines)
