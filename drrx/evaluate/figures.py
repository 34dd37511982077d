"""Figures of the report."""

from pathlib import Path
from typing import Any

import numpy as np

from drrx.io.files import write_whole

Part = dict[str, Any]


def write_figures(report: dict[str, Part], folder: Path) -> list[Path]:
    """Write ``matrix.png`` and ``steps.png`` of the parts there are; return their paths."""
    drawers = {"matrix": draw_matrix, "steps": draw_steps}
    paths = []
    for name, draw in drawers.items():
        if name in report:
            paths.append(folder / f"{name}.png")
            with write_whole(paths[-1]) as temporary:
                draw(report[name]).savefig(temporary, format="png", metadata={"Software": None})
    return paths


def _make_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # slow to import

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def draw_matrix(part: Part) -> Any:
    """Return a figure: PSNR and SSIM of every method (rows) on every degradation (columns).

    Colour tells how far a method is below the best of its column, as columns differ in difficulty.
    """
    kinds, methods = list(part["scores"]), list(next(iter(part["scores"].values())))
    figure = _make_figure(2.6 + 2.1 * len(kinds), 1.0 + 0.32 * len(methods))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (key, title, digits, depth) in zip(
        panels, (("psnr_db", "PSNR, dB", 1, 5.0), ("ssim", "SSIM", 3, 0.1)), strict=True
    ):
        values = np.array([[part["scores"][kind][method][key][0] for kind in kinds] for method in methods])
        behind = values.max(axis=0) - values
        axes.imshow(behind, cmap="RdYlGn_r", vmin=0, vmax=depth, aspect="auto", alpha=0.8)
        for (row, column), value in np.ndenumerate(values):
            weight = "bold" if behind[row, column] == 0 else "normal"
            axes.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=8, weight=weight)
        axes.set(title=f"{title} (colour: behind the best of the column)", xticks=range(len(kinds)))
        axes.set_xticklabels([f"test {kind}" for kind in kinds], fontsize=8)
        axes.title.set_fontsize(9)
    panels[0].set_yticks(range(len(methods)), methods, fontsize=8)
    return figure


def draw_steps(part: Part) -> Any:
    """Return a figure: PSNR, SSIM and noise distance against network calls and against the share of sample."""
    figure = _make_figure(9.6, 4.6)
    grid = figure.subplots(2, 3, sharex="row")
    for row, (key, name) in zip(grid, (("steps", "steps"), ("alphas", "alpha")), strict=True):
        points = part[key]
        measures = (("psnr_db", "PSNR, dB"), ("ssim", "SSIM"), ("noise_db", "noise from films', dB"))
        for axes, (measure, label) in zip(row, measures, strict=True):
            axes.plot([point[name] for point in points], [point[measure] for point in points], "o-", markersize=4)
            axes.set_ylabel(label, fontsize=8)
            axes.set_xlabel("network calls" if name == "steps" else "share of sample (alpha)", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
    return figure
