"""Pulmonary arteries, veins and bronchi as trees that fill each lobe."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.canvas import Canvas
from drrx.phantom.field import FieldGrid
from drrx.phantom.heart import (
    LEFT_ARTERY,
    LEFT_BRONCHUS,
    LEFT_HILUM,
    LEFT_VEIN_HILUM,
    RIGHT_ARTERY,
    RIGHT_BRONCHUS,
    RIGHT_HILUM,
    RIGHT_VEIN_HILUM,
    TRACHEA,
)
from drrx.phantom.lungs import Lungs
from drrx.phantom.physique import Physique
from drrx.phantom.ribs import smooth_path
from drrx.phantom.tree import Tree, curve, grow_tree
from drrx.records.anatomy import LEFT_LUNG, RIGHT_LUNG, Label

BLOOD_HU = 42.0
VOLUME_PER_POINT_MM3 = 900.0

# Where the stem of each lobe runs from the hilum, reference mm; "v" are veins.
_STEMS = {
    Label.LOBE_RIGHT_UPPER: ([[-34, -74, -13], [-42, -76, -2]], [[-28, -78, -30], [-40, -88, -18], [-48, -94, -4]]),
    Label.LOBE_RIGHT_MIDDLE: ([[-38, -70, -22], [-43, -74, -40], [-50, -90, -50]], [[-26, -78, -40], [-40, -92, -50]]),
    Label.LOBE_RIGHT_LOWER: ([[-38, -70, -22], [-43, -64, -40], [-44, -56, -62]], [[-26, -66, -48], [-36, -54, -62]]),
    Label.LOBE_LEFT_UPPER: ([[40, -64, 0], [48, -72, 8]], [[36, -78, -30], [44, -92, -20], [52, -100, -8]]),
    Label.LOBE_LEFT_LOWER: ([[44, -56, -14], [46, -54, -34], [50, -48, -58]], [[34, -62, -46], [44, -50, -62]]),
}

_AIRWAYS = (
    (TRACHEA, (9.0, 9.0, 9.0, 9.0, 8.8, 8.6, 8.6)), (RIGHT_BRONCHUS, (7.6, 7.2, 6.6, 5.6)),
    (LEFT_BRONCHUS, (7.0, 6.6, 6.2, 5.6)),
)  # fmt: skip


def lobe_points(
    grid: FieldGrid, lungs: Lungs, label: Label, margin_mm: float, count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return about ``count`` world points ``(n, 3)`` spread evenly in a lobe, ``margin_mm`` from its surface."""
    fields, signs = lungs.lobes()[label]
    inside = lungs.inside < -margin_mm
    for field, sign in zip(fields, signs, strict=True):
        inside &= sign * field < -1.0
    nodes = np.argwhere(inside)
    if len(nodes) < 8:
        return np.zeros((0, 3))
    chosen = nodes[rng.choice(len(nodes), min(count, len(nodes)), replace=False)]
    jittered = chosen[:, ::-1] + rng.uniform(-0.5, 0.5, chosen.shape)
    return np.asarray(np.asarray(grid.origin_mm) + grid.step_mm * jittered)


def _stem(physique: Physique, knots: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    return physique.place(np.asarray(knots, float) + rng.normal(0.0, 1.2, (len(knots), 3)))


def grow_lobe_trees(
    grid: FieldGrid, physique: Physique, lungs: Lungs, rng: np.random.Generator
) -> dict[Label, tuple[Tree, Tree]]:
    """Grow one artery and one vein per lobe; the number of ends follows the lobe's volume."""
    trees: dict[Label, tuple[Tree, Tree]] = {}
    for label, stems in _STEMS.items():
        nodes = float(np.count_nonzero(_inside(lungs, label)))
        ends = int(nodes * grid.step_mm**3 / VOLUME_PER_POINT_MM3)
        pair = []
        for knots in stems:
            points = lobe_points(grid, lungs, label, 2.0, ends, rng)
            trunk = _stem(physique, knots, rng)
            if len(points) < 8:
                points = trunk[-1] + rng.uniform(-4, 4, (8, 3))
            pair.append(grow_tree(trunk, points))
        trees[label] = (pair[0], pair[1])
    return trees


def _inside(lungs: Lungs, label: Label) -> NDArray[np.bool_]:
    fields, signs = lungs.lobes()[label]
    inside = lungs.inside < 0
    for field, sign in zip(fields, signs, strict=True):
        inside &= sign * field < 0
    return np.asarray(inside)


def paint_vessels(
    canvas: Canvas, physique: Physique, trees: dict[Label, tuple[Tree, Tree]], rng: np.random.Generator
) -> None:
    """Paint arteries and veins of all lobes with their stems."""
    total = sum(pair[0].loads[0] for pair in trees.values())
    for label, pair in trees.items():
        right = label in RIGHT_LUNG
        over = tuple(x for x in (RIGHT_LUNG if right else LEFT_LUNG) if x.name.startswith("LOBE"))
        vessel = Label.VESSEL_RIGHT if right else Label.VESSEL_LEFT
        for tree, root in zip(pair, (8.3, 7.6), strict=True):
            # A whole lung would hang on one root; a lobe's stem follows by Murray's rule.
            share = (2.0 * tree.loads[0] / total) ** (1 / 2.7)
            radii = tree.radii(root * share * physique.size * physique.vessel, 2.7)
            radii = radii * np.exp(physique.nodularity * rng.standard_normal(len(radii)))
            canvas.paint_vessels(*curve(tree, radii, 3), hu=BLOOD_HU, label=vessel, over=over)
            stem = smooth_path(tree.trunk_mm, 3.0)
            width = np.full((len(stem) - 1, 2), radii[0])
            canvas.paint_vessels(stem[:-1], stem[1:], width, hu=BLOOD_HU, label=vessel, over=over)


def paint_hilar_vessels(canvas: Canvas, physique: Physique) -> None:
    """Paint the central vessels where they leave the mediastinum."""
    size = physique.size * physique.vessel
    for hilum, vein, artery, label, over in (
        (RIGHT_HILUM, RIGHT_VEIN_HILUM, RIGHT_ARTERY, Label.VESSEL_RIGHT, RIGHT_LUNG),
        (LEFT_HILUM, LEFT_VEIN_HILUM, LEFT_ARTERY, Label.VESSEL_LEFT, LEFT_LUNG),
    ):
        side = np.sign(hilum[0])
        down = hilum + np.array([[side * 6, 5, -16], [side * 7, 12, -36]])
        central = smooth_path(physique.place(np.concatenate([artery[-2:], down])), 3.0)
        vessels = [(central, np.interp(np.linspace(0, 1, len(central)), [0, 0.3, 1], [9.0, 8.2, 6.2]) * size)]
        up = vein + np.array([[0, 0, 0], [side * 8, -10, 12], [side * 14, -16, 24]])
        low = vein + np.array([[0, 4, -8], [side * 10, 12, -16]])
        superior, inferior = (smooth_path(physique.place(knots), 3.0) for knots in (up, low))
        vessels += [(path, np.linspace(6.2, 4.6, len(path)) * size) for path in (superior, inferior)]
        for path, radii in vessels:
            pair = np.stack([radii[:-1], radii[1:]], axis=1)
            canvas.paint_vessels(path[:-1], path[1:], pair, hu=BLOOD_HU, label=label, over=tuple(over))


def paint_airways(canvas: Canvas, physique: Physique, trees: dict[Label, tuple[Tree, Tree]]) -> None:
    """Paint trachea, main bronchi and the first bronchi beside the arteries: walls first, then the air in them."""
    grow = physique.size * (1.0 if physique.sex == "male" else 0.86)
    tubes: list[tuple[NDArray[np.float64], ...]] = []
    for path, calibers in _AIRWAYS:
        knots = smooth_path(np.column_stack([physique.place(path), np.array(calibers) * grow]), 3.0)
        tubes.append((knots[:-1, :3], knots[1:, :3], np.stack([knots[:-1, 3], knots[1:, 3]], axis=1)))
    tubes += [_bronchi(physique, label, artery, grow) for label, (artery, _) in trees.items()]
    starts, ends, radii = (np.concatenate(part) for part in zip(*tubes, strict=True))
    everything = tuple(Label)
    walls = radii + np.clip(0.16 * radii, 0.55, 1.4)
    canvas.paint_vessels(starts, ends, walls, hu=0.0, label=Label.AIRWAY, over=everything)
    canvas.paint_vessels(starts, ends, radii, hu=-990.0, label=Label.AIRWAY, over=everything)


def _bronchi(physique: Physique, label: Label, artery: Tree, grow: float) -> tuple[NDArray[np.float64], ...]:
    share = 4.6 * grow * (0.8 if label is Label.LOBE_RIGHT_MIDDLE else 1.0)
    radii = artery.radii(share, 2.7)
    kept = radii > 1.1
    # The bronchus runs beside its artery, behind and to the middle, as far as both are thick.
    starts, ends, widths = curve(artery, radii, 3)
    pick = np.tile(kept, 3)
    side = -1.0 if label in RIGHT_LUNG else 1.0
    away = np.array([-0.62 * side, 0.6, 0.5])
    shift = (2.15 * widths[:, :1] + 0.6) * away
    after = (2.15 * widths[:, 1:] + 0.6) * away
    root = RIGHT_BRONCHUS[-1] if side < 0 else LEFT_BRONCHUS[-1]
    begin = physique.place(root)
    stem = np.stack([begin, (starts + shift)[0]])
    width = np.array([[5.2 * grow, share]])
    return (
        np.concatenate([stem[:1], (starts + shift)[pick]]), np.concatenate([stem[1:], (ends + after)[pick]]),
        np.concatenate([width, widths[pick]]),
    )  # fmt: skip
