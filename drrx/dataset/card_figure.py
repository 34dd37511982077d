"""The figure of the data card: sizes, types, places and visibility of the nodules."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from drrx.dataset import census
from drrx.dataset.entries import ImageEntry
from drrx.records.annotation import Annotation
from drrx.records.nodule import Nodule

CLASS_COLOURS = ("#8c2d2d", "#e08a3c", "#5aa469", "#2f6db3")
KIND_COLOURS = ("#2f6db3", "#7fb2e5", "#b9a3d6", "#777777")
BLUE = "#2f6db3"
LEAST_D_PRIME = 0.05  # smaller ones, and negative ones, are drawn here


def draw_card(entries: Sequence[ImageEntry]) -> Any:
    """Return a figure of six panels; the first three count nodules once, the others as often as images show them."""
    from matplotlib.figure import Figure  # slow to import
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 7.2), dpi=100, layout="constrained")
    nodules, shown = census.list_distinct(entries), census.list_shown(entries)
    panels = figure.subplots(2, 3)
    _draw_diameters(panels[0, 0], nodules)
    _draw_margins(panels[0, 1], nodules)
    _draw_lobes(panels[0, 2], nodules)
    _draw_zones(panels[1, 0], shown)
    _draw_classes(panels[1, 1], shown)
    _draw_sizes(panels[1, 2], shown)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    for axes in panels.flat[:5]:  # counts are whole numbers
        counted = axes.xaxis if axes is panels[0, 2] else axes.yaxis
        counted.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _draw_diameters(axes: Any, nodules: Sequence[Nodule]) -> None:
    edges = np.arange(0, max((n.diameter_mm for n in nodules), default=30.0) + 4, 2)
    groups = [[n.diameter_mm for n in nodules if n.kind == kind] for kind in census.KINDS]
    axes.hist(groups, bins=edges, stacked=True, color=KIND_COLOURS, label=[k.replace("_", " ") for k in census.KINDS])
    axes.set(title=f"Diameter and type of {len(nodules)} nodules", xlabel="diameter, mm", ylabel="nodules")
    axes.legend(fontsize=8, frameon=False)


def _draw_margins(axes: Any, nodules: Sequence[Nodule]) -> None:
    counts = Counter((str(nodule.margin), str(nodule.kind)) for nodule in nodules)
    below = np.zeros(len(census.MARGINS))
    for kind, colour in zip(census.KINDS, KIND_COLOURS, strict=True):
        heights = [counts[margin, kind] for margin in census.MARGINS]
        axes.bar(census.MARGINS, heights, bottom=below, color=colour)
        below += heights
    axes.set(title="Margin, by type", ylabel="nodules")


def _draw_lobes(axes: Any, nodules: Sequence[Nodule]) -> None:
    counts = Counter(nodule.lobe_approx.removeprefix("lobe_").replace("_", " ") for nodule in nodules)
    names = sorted(counts, reverse=True)
    axes.barh(names, [counts[name] for name in names], color=BLUE)
    axes.set(title="Lobe (approximate)", xlabel="nodules")


def _draw_zones(axes: Any, shown: Sequence[Annotation]) -> None:
    counts = Counter((str(item.nodule.zone), item.visibility_class) for item in shown)
    below = np.zeros(len(census.ZONES))
    for number, (name, colour) in enumerate(zip(census.CLASSES, CLASS_COLOURS, strict=True)):
        heights = [counts[zone, number] for zone in census.ZONES]
        axes.bar(census.ZONES, heights, bottom=below, color=colour, label=name)
        below += heights
    axes.tick_params("x", rotation=20, labelsize=8)
    axes.set(title="What lies over it, by visibility", ylabel="nodules in images")
    axes.legend(fontsize=8, frameon=False)


def _draw_classes(axes: Any, shown: Sequence[Annotation]) -> None:
    places = np.arange(len(census.CLASSES))
    for offset, name, classes in (
        (-0.2, "DRR", [item.before.visibility_class for item in shown]),
        (0.2, "CXR", [item.after.visibility_class for item in shown if item.after is not None]),
    ):
        heights = [classes.count(number) for number in range(len(places))]
        axes.bar(places + offset, heights, width=0.4, color=BLUE, alpha=0.45 if name == "DRR" else 1, label=name)
    axes.set_xticks(places, census.CLASSES)
    axes.set(title="Visibility before and after restoration", ylabel="nodules in images")
    axes.legend(fontsize=8, frameon=False)


def _draw_sizes(axes: Any, shown: Sequence[Annotation]) -> None:
    for kind, colour in zip(census.KINDS, KIND_COLOURS, strict=True):
        points = [((i.after or i.before).d_prime, i.nodule.diameter_mm) for i in shown if i.nodule.kind == kind]
        if points:
            d_prime, diameter = zip(*points, strict=True)
            axes.scatter(diameter, np.maximum(d_prime, LEAST_D_PRIME), s=14, color=colour, alpha=0.8, linewidth=0)
    axes.set(title="Size against detectability, by type", xlabel="diameter, mm", ylabel="d' in the restored image")
    axes.set_yscale("log")
    axes.set_ylim(bottom=LEAST_D_PRIME * 0.9, top=max(10.0, axes.get_ylim()[1]))
    axes.set_xlim(left=0, right=max(30.0, axes.get_xlim()[1]))
    axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
