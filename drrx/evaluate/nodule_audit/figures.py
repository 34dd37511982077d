"""The figure of real against inserted nodules."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drrx.evaluate.nodule_audit.two_sample import MEASURES
from drrx.io.files import write_whole

Row = dict[str, Any]
SHOWN = ("contrast", "edge_per_mm", "size_mm", "unevenness", "grain", "hu_median")
KINDS = {"solid": "o", "part_solid": "s", "ground_glass": "^", "calcified": "D"}
REAL, INSERTED = "tab:orange", "tab:blue"


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG, whole; the same figure gives the same bytes."""
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def make_figure(width: float, height: float) -> Any:
    """Return an empty figure, size in inches."""
    from matplotlib.figure import Figure  # slow to import

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def draw_comparison(real: Sequence[Row], inserted: Sequence[Row]) -> Any:
    """Return a figure: each measure against diameter (above), and how its values are distributed (below)."""
    figure = make_figure(2.6 * len(SHOWN), 5.6)
    above, below = figure.subplots(2, len(SHOWN))
    for scatter, steps, key in zip(above, below, SHOWN, strict=True):
        for rows, color, size, label in ((inserted, INSERTED, 9, "inserted"), (real, REAL, 20, "real")):
            for kind, marker in KINDS.items():
                chosen = [row for row in rows if row["kind"] == kind]
                scatter.scatter(
                    [row["diameter_mm"] for row in chosen], [row[key] for row in chosen], s=size, marker=marker,
                    color=color, alpha=0.9 if rows is real else 0.45, linewidths=0,
                )  # fmt: skip
            values = np.sort([row[key] for row in rows])
            share = np.arange(1, len(values) + 1) / len(values)
            steps.step(values, share, where="post", color=color, label=f"{label}, {len(rows)}")
        scatter.set_title(MEASURES[key], fontsize=8)
        scatter.set_xlabel("diameter, mm", fontsize=8)
        steps.set_ylim(0, 1)
        for axes in (scatter, steps):
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
    below[0].set_ylabel("share of nodules below", fontsize=8)
    below[0].legend(fontsize=7, loc="lower right")
    for kind, marker in KINDS.items():
        above[2].scatter([], [], marker=marker, color="gray", s=12, label=kind.replace("_", " "))
    above[2].legend(fontsize=6, loc="lower right")
    return figure
