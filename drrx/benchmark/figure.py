"""The figure of cost against pixels and voxels."""

import importlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from drrx.benchmark.peers.floors import FLOORS
from drrx.benchmark.peers.variant import VARIANTS
from drrx.benchmark.run import OWN
from drrx.io.files import write_whole

NUM_LINES = 8  # the fastest; more lines are no figure
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:gray", "tab:olive")
STYLES = ("-", "--", ":", "-.")


def write_figure(report: dict[str, Any], path: Path) -> bool:
    """Write a PNG of two log-log plots; return ``False`` where matplotlib is not installed."""
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    threads = max(report["settings"]["threads"])
    timed = [
        row
        for row in report["times"]
        if row["threads"] == threads and row["ms"] and row["peer"] not in (*FLOORS, *VARIANTS)
    ]
    figure = figures.Figure(figsize=(9.6, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    last = {row["peer"]: row["ms"] for row in timed}
    names = sorted(last, key=lambda name: last[name])[:NUM_LINES]
    styles = _choose_styles(names)
    for name in names:
        _draw(left, [row for row in timed if row["peer"] == name], lambda row: row["size_px"] ** 2, **styles[name])
    for name in dict.fromkeys(row["peer"] for row in report["voxels"] if row["ms"]):
        rows = [row for row in report["voxels"] if row["peer"] == name]
        _draw(right, rows, lambda row: row["num_voxels"], **styles.get(name, {"label": name}))
    left.set(xlabel="pixels", ylabel=f"time of one projection, ms ({threads} threads)")
    right.set(xlabel=f"million voxels ({report['voxels'][0]['size_px']} px wide detector)" if report["voxels"] else "")
    sizes = sorted({row["size_px"] for row in timed})
    counts = sorted({row["num_voxels"] for row in report["voxels"]})
    ticks = {left: [(size**2, f"{size}²") for size in sizes], right: [(n, f"{n / 1e6:.1f}") for n in counts]}
    for axes in (left, right):
        axes.set(xscale="log", yscale="log")
        axes.set_xticks([place for place, _ in ticks[axes]], [text for _, text in ticks[axes]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=7, frameon=False)
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return True


def _choose_styles(names: list[str]) -> dict[str, dict[str, Any]]:
    """Draw drrx's rows in red, apart by dashes, and each peer in a colour of its own."""
    own = [name for name in names if name.startswith(OWN)]
    styles = {name: {"color": "tab:red", "linestyle": style} for name, style in zip(own, cycle(STYLES), strict=False)}
    peers = [name for name in names if name not in own]
    styles |= {name: {"color": color} for name, color in zip(peers, COLORS, strict=False)}
    return {name: style | {"label": name, "linewidth": 2.2 if name == OWN else 1.2} for name, style in styles.items()}


def _draw(axes: Any, rows: list[dict[str, Any]], along: Callable[[dict[str, Any]], float], **style: Any) -> None:
    rows = sorted((row for row in rows if row["ms"]), key=along)
    axes.plot([along(row) for row in rows], [row["ms"] for row in rows], marker="o", markersize=4, **style)
