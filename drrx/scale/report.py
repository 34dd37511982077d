"""The numbers of the workflow's benchmark as Markdown."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
COMMAND = "benchmark-workflow"


def to_markdown(report: Row) -> str:
    """Return a table for each part that was measured."""
    machine = report["machine"]
    parts = [f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}."]
    if "graph" in report:
        parts += ["**Snakemake alone**: nothing done yet, and all done", _graph(report["graph"])]
    if "overhead" in report:
        parts += ["**Overhead**, one core", _overhead(report["overhead"])]
    if "rate" in report:
        parts += _rate(report["rate"])
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _graph(rows: Sequence[Row]) -> str:
    head = ["cases", "cases a shard", "jobs", "dry run, s", "MB", "resume with nothing to do, s", "MB"]
    lines = [
        [
            f"{row['cases']:,}",
            f"{row['shard_size']}",
            f"{row['jobs']:,}",
            f"{row['dry_s']:.1f}",
            f"{row['dry_mb']:.0f}",
            f"{row['resume_s']:.1f}",
            f"{row['resume_mb']:.0f}",
        ]
        for row in rows
    ]
    return _table(head, lines)


def _overhead(row: Row) -> str:
    head = ["cases", "px", "shards", "through Snakemake, s", "plain loop in one process, s", "overhead", "images"]
    cells = [f"{row['cases']}", f"{row['size_px']}", f"{row['shards']}", f"{row['workflow_s']:.0f}"]
    cells += [f"{row['loop_s']:.0f}", f"{100 * row['share']:.1f} %", f"{row['images']}, bit-equal"]
    return _table(head, [cells])


def _rate(found: Row) -> list[str]:
    total = sum(row["seconds"] for row in found["stages"])
    lines = [
        [
            f"`{row['stage']}`",
            f"{row['seconds'] / found['cases']:.1f}",
            f"{row['seconds'] / found['images']:.2f}",
            f"{100 * row['seconds'] / total:.0f} %",
            f"{row['peak_mb']:.0f}",
        ]
        for row in found["stages"]
    ]
    head = ["stage", "s per CT", "s per image", "share", "largest job, MB"]
    told = (
        f"**Images per hour**, {found['cores']} cores, {found['size_px']} px, {found['cases']} CTs with "
        f"{found['variants']} variants each: {found['images']} images in {found['wall_s']:.0f} s, "
        f"{found['images_per_hour']:.0f} an hour. The most time goes into `{found['bottleneck']}`."
    )
    return [told, _table(head, lines)]
