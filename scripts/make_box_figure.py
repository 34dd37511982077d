"""Draw docs/images/boxes.png: the boxes, masks and centres of one spiculated nodule, and how pixels are counted.

The nodule is drawn, blurred, projected and annotated by drrx; only the lung around it is even.

Example: python scripts/make_box_figure.py docs/images/boxes.png
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow
from drrx.annotate.signal import Pair
from drrx.geometry import View, make_standard_view
from drrx.nodule.composite import Targets, composite
from drrx.nodule.draw_shape import draw_body, fit_radius
from drrx.nodule.form import DrawnForm, fit_volume
from drrx.nodule.measure import centroid_mm
from drrx.radiograph.beam import Beam
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.annotation import Annotation, Box
from drrx.records.nodule import Nodule, NoduleMeasures
from drrx.records.patch import NodulePatch
from drrx.stages.compose_drr import cast_shadow, project_patches

DIAMETER_MM, LUNG_HU, SEED = 16.0, -850.0, 5
CENTER_MM = np.array([60.0, -20.0, 30.0])
COLORS = {"full": "#2b8cff", "visual": "#ffb000", "core": "#ff4d6d"}


def make_patch() -> tuple[DrawnForm, NodulePatch]:
    """Return a spiculated nodule of solid tissue in even lung."""
    form = DrawnForm(fit_radius(draw_body(np.random.default_rng(SEED), "spiculated", DIAMETER_MM), DIAMETER_MM))
    form, rendered = fit_volume(form, DIAMETER_MM, lambda one: one.render(0.3, (1.0, 1.0, 1.0)), 0.005)
    before = np.full(rendered.occupancy.shape, LUNG_HU, np.float32)
    after = composite(before, rendered, "solid", Targets(20.0), LUNG_HU)
    return form, NodulePatch(rendered.occupancy, before, after, rendered.place(CENTER_MM))


def annotate(form: DrawnForm, patch: NodulePatch, view: View, shadow: Shadow) -> Annotation:
    """Return its annotation; sizes in the CT do not matter here."""
    axes = (DIAMETER_MM,) * 3
    measures = NoduleMeasures(
        centroid_mm(patch), patch.volume_mm3, axes, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), DIAMETER_MM, DIAMETER_MM,
        DIAMETER_MM, LUNG_HU, 0.0, 1.0, 0.3, 20.0, 0.0, 0.0, 0.0, {"free": 1.0},
    )  # fmt: skip
    nodule = Nodule(
        "n1", "simulated", SEED, "cxr", "solid", "spiculated", "isolated", tuple(CENTER_MM.tolist()), DIAMETER_MM,
        form.shape, None, 20.0, None, None, None, (1.0, 1.0, 1.0), 0.3, "", "free", 1, measures,
    )  # fmt: skip
    images = [shadow.place(values, view.shape) for values in (0 * shadow.path_mm, shadow.delta_line_integral)]
    finding = Finding(nodule, shadow, Pair(*images), None)
    return annotate_image(("c", "v1", "pa"), [finding], view, {}, AnnotateCxrSettings(), {}).nodules[0]


def draw(path: Path) -> None:
    """Project the nodule onto fine pixels and draw the figure."""
    form, patch = make_patch()
    view = make_standard_view(np.zeros(3), size_px=2400)
    (lengths,) = project_patches([patch], view)
    bases = np.full(view.shape, 120.0, np.float32), np.zeros(view.shape, np.float32)
    shadow = cast_shadow(lengths, bases, Beam.from_settings(ComposeDrrSettings()), bases[1])
    found = annotate(form, patch, view, shadow)
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    image, profile, pixels = figure.subplots(1, 3, width_ratios=(1.2, 1.3, 0.95))
    draw_image(image, shadow, found)
    draw_profile(profile, shadow, found)
    draw_pixels(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def draw_image(axes: Axes, shadow: Shadow, found: Annotation) -> None:
    """Draw what the nodule adds, outlines of the three limits, their boxes and both centres."""
    settings, contrast = AnnotateCxrSettings(), shadow.delta_line_integral
    rows, columns = contrast.shape
    left, top = shadow.column, shadow.row
    axes.imshow(contrast, cmap="gray", extent=(left, left + columns, top + rows, top), interpolation="nearest")
    x, y = np.arange(columns) + left + 0.5, np.arange(rows) + top + 0.5
    limits = {
        "full": (shadow.path_mm, max(settings.full_path_mm, settings.full_fraction * found.peak_path_mm)),
        "visual": (contrast, settings.visual_fraction * found.delta_log_peak),
        "core": (contrast, settings.core_fraction * found.delta_log_peak),
    }
    boxes = {"full": found.bbox_full, "visual": found.bbox_visual, "core": found.bbox_core}
    texts = {"full": "path > 0.2 mm and 2 %", "visual": "contrast > 20 %: mask", "core": "contrast > 50 %"}
    for name, (values, limit) in limits.items():
        axes.contour(x, y, values, [limit], colors=COLORS[name], linewidths=0.9)
        _add_box(axes, boxes[name], edgecolor=COLORS[name], label=f"bbox_{name}: {texts[name]}")
    axes.plot(*found.center_px, "+", color="#00c2a8", markersize=11, markeredgewidth=2, label="center_px", ls="none")
    bx, by, width, height = found.bbox_full
    axes.set_xlim(bx - 6, bx + width + 6)
    axes.set_ylim(by + height + 6, by - 6)
    axes.set_title("what the nodule adds to $-\\ln(I/I_0)$")
    axes.set_xlabel("x (columns), px")
    axes.set_ylabel("y (rows), px")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8, ncols=2, frameon=False)


def draw_profile(axes: Axes, shadow: Shadow, found: Annotation) -> None:
    """Draw contrast and path in the row of the peak, in shares of their peaks, with the three limits."""
    row = int(np.unravel_index(shadow.delta_line_integral.argmax(), shadow.path_mm.shape)[0])
    x = np.arange(shadow.path_mm.shape[1]) + shadow.column + 0.5
    axes.semilogy(x, shadow.delta_line_integral[row] / found.delta_log_peak, color="black", label="contrast / its peak")
    axes.semilogy(x, shadow.path_mm[row] / found.peak_path_mm, color="gray", ls=":", lw=3, label="path / its peak")
    full_share = max(0.2 / found.peak_path_mm, 0.02)
    for name, share in (("full", full_share), ("visual", 0.2), ("core", 0.5)):
        axes.axhline(share, color=COLORS[name], lw=1)
        axes.text(x[0] - 62, share * 1.05, f"{name}: {share:.0%} of {'path' if name == 'full' else 'contrast'}",
                  color=COLORS[name], fontsize=8)  # fmt: skip
    axes.set_title(f"row {row + shadow.row}, through the peak ({found.peak_path_mm:.1f} mm of nodule)")
    axes.set_xlabel("x, px")
    axes.set_xlim(x[0] - 65, x[-1])
    axes.set_ylim(0.004, 1.5)
    axes.set_yticks([0.01, 0.1, 1.0], ["1 %", "10 %", "100 %"])
    axes.legend(loc="lower center", fontsize=8)


def draw_pixels(axes: Axes) -> None:
    """Draw how coordinates count: from the corner of the first pixel; its centre is at a half."""
    axes.set_aspect("equal")
    for row in range(4):
        for column in range(5):
            inside = 1 <= column <= 3 and 1 <= row <= 2
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor="#ffe3a3" if inside else "white", edgecolor="0.7"))
            axes.text(column + 0.5, row + 0.5, f"[{row}, {column}]", ha="center", va="center", fontsize=7, color="0.4")
    _add_box(axes, (1.0, 1.0, 3.0, 2.0), edgecolor=COLORS["visual"], label="")
    axes.plot(0, 0, "o", color="black", clip_on=False)
    axes.annotate("x = 0, y = 0", (0, 0), (-0.1, -0.25), fontsize=8)
    axes.plot(0.5, 0.5, ".", color="black")
    axes.annotate("centre of pixel [0, 0]:\nx = 0.5, y = 0.5", (0.5, 0.5), (2.3, -0.25), fontsize=8,
                  arrowprops={"arrowstyle": "-", "lw": 0.6})  # fmt: skip
    text = "mask: rows 1-2, columns 1-3\nbbox [x, y, width, height] = [1, 1, 3, 2]\nits far corner: x = 4, y = 3"
    axes.text(2.5, 4.45, text, ha="center", va="top", fontsize=8)
    axes.set_xlim(-0.2, 5.2)
    axes.set_ylim(5.8, -1.1)
    axes.set_axis_off()
    axes.set_title("how pixels are counted")


def _add_box(axes: Axes, box: Box, **look: Any) -> None:
    x, y, width, height = box
    axes.add_patch(Rectangle((x, y), width, height, fill=False, linewidth=1.6, **look))


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/boxes.png"))
