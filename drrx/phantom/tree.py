"""Trees that fill a region, grown point by point from a stem.

The rule is that of Cuntz, Forstner, Borst and Häusser (2010), "One rule to grow them all", PLoS Comput. Biol. 6,
e1000877, eq. 1: the next point is joined where added length plus ``balance`` times the path to the root is least. A
term for the turn away from the parent's direction is added, because vessels leave at acute angles.
"""

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tree:
    """Branches of a tree.

    Attributes
    ----------
    starts_mm, ends_mm
        ``(n, 3)`` world points; branch 0 is the end of the stem.
    parents
        ``(n,)`` index of the parent branch, -1 for branch 0.
    loads
        ``(n,)`` number of branches that hang on a branch, itself included.
    trunk_mm
        ``(m, 3)`` world points of the stem that leads to branch 0.
    """

    starts_mm: NDArray[np.float64]
    ends_mm: NDArray[np.float64]
    parents: NDArray[np.int64]
    loads: NDArray[np.float64]
    trunk_mm: NDArray[np.float64]

    def radii(self, root_mm: float, exponent: float) -> NDArray[np.float64]:
        """Return radii from Murray's rule ``r ** exponent ~ load``, in mm."""
        return np.asarray(root_mm * (self.loads / self.loads[0]) ** (1.0 / exponent))


_jit: Any = nb.njit(cache=True)  # as in raster.py, not `fastmath`


@_jit
def _join(points, direction, balance, turn, parents, order):  # type: ignore[no-untyped-def]
    # Prim's algorithm; point 0 is the root whose incoming direction is given.
    size = points.shape[0]
    cost = np.full(size, 1e18)
    path = np.zeros(size)
    done = np.zeros(size, np.bool_)
    incoming = np.zeros((size, 3))
    incoming[0] = direction
    current = 0
    for step in range(size):
        done[current] = True
        order[step] = current
        following, least = -1, 1e18
        for n in range(size):
            if done[n]:
                continue
            dx = points[n, 0] - points[current, 0]
            dy = points[n, 1] - points[current, 1]
            dz = points[n, 2] - points[current, 2]
            far = np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
            along = (dx * incoming[current, 0] + dy * incoming[current, 1] + dz * incoming[current, 2]) / far
            price = far * (1.0 + turn * (1.0 - along)) + balance * path[current]
            if price < cost[n]:
                cost[n] = price
                parents[n] = current
            if cost[n] < least:
                least, following = cost[n], n
        if following < 0:
            break
        parent = parents[following]
        d = points[following] - points[parent]
        far = np.sqrt(np.sum(d * d)) + 1e-9
        incoming[following] = d / far
        path[following] = path[parent] + far
        current = following


def grow_tree(
    trunk_mm: NDArray[Any],
    points_mm: NDArray[Any],
    *,
    balance: float = 0.3,
    turn: float = 0.9,
    smoothing: int = 3,
) -> Tree:
    """Grow a tree from the end of a trunk through a cloud of points.

    Parameters
    ----------
    trunk_mm
        ``(n, 3)`` world points of the given stem, n >= 2.
    points_mm
        ``(m, 3)`` world points to reach, m >= 1.
    balance
        Weight of the path to the root: 0 gives the shortest tree, 1 a star of straight lines.
    turn
        Price of turning away from the parent's direction.
    smoothing
        How often a point is drawn to the middle of its parent and its thickest child.
    """
    points = np.ascontiguousarray(np.concatenate([trunk_mm[-1:], points_mm]), dtype=np.float64)
    direction = np.asarray(trunk_mm[-1] - trunk_mm[-2], float)
    parents, order = np.full(len(points), -1, np.int64), np.zeros(len(points), np.int64)
    _join(points, direction / np.linalg.norm(direction), balance, turn, parents, order)
    loads = np.ones(len(points))
    for n in order[:0:-1]:
        loads[parents[n]] += loads[n]
    heir = np.full(len(points), -1, np.int64)
    for n in order[1:]:
        if heir[parents[n]] < 0 or loads[n] > loads[heir[parents[n]]]:
            heir[parents[n]] = n
    inner = np.flatnonzero((heir >= 0) & (parents >= 0))
    for _ in range(smoothing):
        points[inner] = 0.5 * points[inner] + 0.25 * (points[parents[inner]] + points[heir[inner]])
    starts = np.where(parents[:, None] >= 0, points[np.maximum(parents, 0)], np.asarray(trunk_mm[-2]))
    return Tree(starts, points, parents, loads, np.asarray(trunk_mm, float))


def curve(tree: Tree, radii_mm: NDArray[Any], pieces: int) -> tuple[NDArray[np.float64], ...]:
    """Return starts, ends ``(n, 3)`` and radii ``(n, 2)`` of the tree drawn as smooth curves.

    Each branch is a cubic Hermite curve that leaves partly along its parent and arrives along its own chord.
    """
    chord = tree.ends_mm - tree.starts_mm
    length = np.linalg.norm(chord, axis=1, keepdims=True) + 1e-9
    own = chord / length
    parent = np.maximum(tree.parents, 0)
    leave = np.where(tree.parents[:, None] >= 0, 0.5 * own[parent] + 0.55 * own, own)
    t = np.linspace(0.0, 1.0, pieces + 1)[:, None, None]
    path = (
        (2 * t**3 - 3 * t**2 + 1) * tree.starts_mm + (t**3 - 2 * t**2 + t) * leave * length
        + (3 * t**2 - 2 * t**3) * tree.ends_mm + (t**3 - t**2) * own * length
    )  # fmt: skip
    # A branch begins no thicker than its parent and thins a little towards its end.
    first = np.where(tree.parents >= 0, np.minimum(radii_mm[parent] * 0.96, radii_mm * 1.12), radii_mm)
    width = first + (radii_mm - first) * np.minimum(1.0, 2.0 * t[:, :, 0])
    return (
        path[:-1].reshape(-1, 3), path[1:].reshape(-1, 3),
        np.stack([width[:-1].ravel(), width[1:].ravel()], axis=1),
    )  # fmt: skip
