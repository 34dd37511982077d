"""The benchmark's numbers as Markdown and CSV, and their place in a page."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drrx.benchmark.measure import Measurement
from drrx.benchmark.peers.floors import READ
from drrx.benchmark.peers.own import ALL_CHANNELS
from drrx.benchmark.peers.variant import DIAMETERS_MM, VARIANTS
from drrx.benchmark.phantoms import SPHERES_MM
from drrx.benchmark.run import ANCHOR, OWN
from drrx.errors import DrrxError
from drrx.io.files import write_text

COMMAND = "benchmark-projector"
Row = dict[str, Any]


def to_csv(rows: Sequence[Row]) -> str:
    """Return the timed rows as a table with one line each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Measurement.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(report: Row) -> str:
    """Return the tables of the report."""
    machine, ct = report["machine"], report["ct"]
    size = (
        " x ".join(map(str, reversed(ct["shape"])))
        + " voxels of "
        + " x ".join(f"{s:.2f}" for s in reversed(ct["spacing_mm"]))
    )
    parts = [f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; CT of {size} mm."]
    for threads in report["settings"]["threads"]:
        parts += [
            f"**{threads} thread{'s' * (threads > 1)}**",
            _times([r for r in report["times"] if r["threads"] == threads]),
        ]
    parts += [_skipped(report["times"] + report["accuracy"])]
    if report["accuracy"]:
        parts += [f"**Closed forms**, {report['settings']['accuracy_px']} px", _accuracy(report["accuracy"])]
        parts += ["**Nodules** as patches of their own, share of the true value", _nodules(report["nodules"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _times(rows: Sequence[Row]) -> str:
    done = [row for row in rows if row["ms"] is not None]
    sizes, names = sorted({row["size_px"] for row in done}), list(dict.fromkeys(row["peer"] for row in done))
    ms = {(row["peer"], row["size_px"]): row["ms"] for row in done}
    lines = []
    for name in names:
        own = [row for row in done if row["peer"] == name]
        last = max(own, key=lambda row: row["size_px"])
        error = max((row["relative_error"] for row in own if row["relative_error"] is not None), default=None)
        cells = [_time_cell(ms, name, size) for size in sizes] + [_or_dash(error, lambda e: f"{100 * e:.3f}")]
        cells += [_or_dash(last["peak_mib"], lambda m: f"{m:.0f}"), f"{last['start_s']:.1f}"]
        lines.append([name, last["version"], *cells])
    heads = ["projector", "version", *(f"{size} px, ms" for size in sizes), "error %", "MiB", "start s"]
    return _table(heads, lines) + "".join(
        [_say_floor(ms, size) for size in sizes[-1:]] + [_say_variant(ms, size) for size in sizes]
    )


def _time_cell(ms: dict[tuple[str, int], float], name: str, size: int) -> str:
    if (name, size) not in ms:
        return "-"
    ratio = f" ({ms[ANCHOR, size] / ms[name, size]:.3g} x)" if (ANCHOR, size) in ms else ""
    return f"{_round(ms[name, size])}{ratio}"


def _round(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}"


def _say_floor(ms: dict[tuple[str, int], float], size: int) -> str:
    if (OWN, size) not in ms or (READ, size) not in ms:
        return ""
    return f"\n\n{OWN} at {size} px takes {ms[OWN, size] / ms[READ, size]:.1f} times one read of the int16 volume."


def _say_variant(ms: dict[tuple[str, int], float], size: int) -> str:
    if any((name, size) not in ms for name in (*VARIANTS, ALL_CHANNELS)):
        return ""
    shares = [f"{100 * ms[name, size] / ms[ALL_CHANNELS, size]:.1f}" for name in VARIANTS]
    return (
        f"\n\nOne more nodule variant at {size} px, three maps of {' or '.join(map(str, DIAMETERS_MM))} mm, takes "
        f"{' or '.join(shares)} % of projecting the CT with all its maps."
    )


def _or_dash(value: float | None, write: Callable[[float], str]) -> str:
    return "-" if value is None else write(value)


def _skipped(rows: Sequence[Row]) -> str:
    places = [f"at {row['size_px']} px" if "size_px" in row else f"on the {row['phantom']}" for row in rows]
    reasons = {
        f"{row['peer']} {place} ({row['skipped']})": None
        for row, place in zip(rows, places, strict=True)
        if row["skipped"]
    }
    return "Left out: " + "; ".join(reasons) + "." if reasons else ""


def _accuracy(rows: Sequence[Row]) -> str:
    found = {(row["peer"], row["phantom"]): row for row in rows if row["relative_rmse"] is not None}
    lines = []
    for name in dict.fromkeys(peer for peer, _ in found):
        chest, boxes, spheres = (found.get((name, key), {}) for key in ("chest", "boxes", "spheres"))
        peaks = spheres.get("peaks") or {}
        shares = [
            chest.get("relative_rmse"),
            chest.get("grain"),
            boxes.get("relative_rmse"),
            spheres.get("relative_rmse"),
        ]
        lines.append(
            [name, *(_or_dash(share, lambda s: f"{100 * s:.4f}") for share in shares)]
            + [_or_dash(peaks.get(f"{d:g}"), lambda s: f"{100 * s:.1f}") for d in SPHERES_MM]
        )
    head = ["projector", "chest RMSE %", "chest grain %", "boxes RMSE %", "spheres RMSE %"]
    return _table([*head, *(f"peak {d:g} mm %" for d in SPHERES_MM)], lines)


def _nodules(rows: Sequence[Row]) -> str:
    head = ["diameter mm", "volume of the patch %", "peak path %", "mass of the shadow %"]
    lines = [
        [f"{row['diameter_mm']:g}", *(f"{100 * row[key]:.2f}" for key in ("volume", "peak", "mass"))] for row in rows
    ]
    return _table(head, lines)


def put_into_page(page: Path, text: str, command: str = COMMAND) -> None:
    """Replace what stands between the two marks of a Markdown page that name a ``command``.

    Raises
    ------
    DrrxError
        The page does not have both marks, in order.
    """
    marks = [f"<!-- {side}: drrx {command} -->" for side in ("begin", "end")]
    before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise DrrxError(
            where=str(page), found="no place for the tables", needed=f"the lines {' and '.join(marks)}",
            hint="Add both lines where the tables shall stand.",
        )  # fmt: skip
    write_text(page, f"{before}{begin}\n{text}{end}{after}")
