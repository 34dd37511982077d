"""Trees that fill a region: a branch grows towards the middle of the points it feeds and splits them in two.

The method is that of Tawhai, Pullan and Hunter (2000), "Generation of an anatomically based three-dimensional model
of the conducting airways", Ann. Biomed. Eng. 28, 793-802, with splitting planes across the longest extent of the
points that are left.
"""

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tree:
    """Branches of a tree, parents before children.

    Attributes
    ----------
    starts_mm, ends_mm
        ``(n, 3)`` world points.
    parents
        ``(n,)`` index of the parent branch, -1 for the first.
    loads
        ``(n,)`` number of points a branch feeds.
    """

    starts_mm: NDArray[np.float64]
    ends_mm: NDArray[np.float64]
    parents: NDArray[np.int64]
    loads: NDArray[np.float64]

    def radii(self, root_mm: float, exponent: float) -> NDArray[np.float64]:
        """Return radii from Murray's rule ``r ** exponent ~ load``, in mm."""
        return np.asarray(root_mm * (self.loads / self.loads[0]) ** (1.0 / exponent))


@nb.njit(cache=True)
def _grow(points, order, jitter, starts, ends, parents, loads, first, fraction, least, shortest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # A stack of (parent branch, range of ``order``); every entry grows one branch from its parent's end.
    size = points.shape[0]
    stack = np.zeros((4 * 64 + size, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, size
    top, count = 1, first
    while top > 0:
        top -= 1
        parent, low, high = stack[top]
        origin = ends[parent]
        middle = np.zeros(3)
        for n in range(low, high):
            middle += points[order[n]]
        middle /= high - low
        # Longest extent of the points across the line to their middle, by power iteration.
        ahead = middle - origin
        length = np.sqrt(np.sum(ahead * ahead)) + 1e-9
        ahead /= length
        moment = np.zeros((3, 3))
        for n in range(low, high):
            d = points[order[n]] - middle
            d = d - np.sum(d * ahead) * ahead
            for a in range(3):
                for b in range(3):
                    moment[a, b] += d[a] * d[b]
        axis = jitter[count % jitter.shape[0]].copy()
        for _ in range(12):
            axis = np.array(
                [
                    moment[0, 0] * axis[0] + moment[0, 1] * axis[1] + moment[0, 2] * axis[2],
                    moment[1, 0] * axis[0] + moment[1, 1] * axis[1] + moment[1, 2] * axis[2],
                    moment[2, 0] * axis[0] + moment[2, 1] * axis[1] + moment[2, 2] * axis[2],
                ]
            )
            axis /= np.sqrt(np.sum(axis * axis)) + 1e-12
        # Split off-centre by chance: a main stem goes on, side branches leave it.
        shift = jitter[(count * 7 + 3) % jitter.shape[0], 0]
        spread = np.sqrt(max(np.trace(moment) / (high - low), 0.0))
        i, j = low, high - 1
        while i <= j:
            if np.sum((points[order[i]] - middle) * axis) < 0.32 * shift * spread:
                i += 1
            else:
                order[i], order[j] = order[j], order[i]
                j -= 1
        for a, b in ((low, i), (i, high)):
            if b <= a:
                continue
            goal = np.zeros(3)
            for n in range(a, b):
                goal += points[order[n]]
            goal /= b - a
            step = goal - origin
            far = np.sqrt(np.sum(step * step))
            end = b - a <= least or fraction * far < shortest
            part = 0.8 if end else fraction
            starts[count] = origin
            ends[count] = origin + part * step
            parents[count] = parent
            loads[count] = b - a
            if not end and top < stack.shape[0] - 1:
                stack[top, 0], stack[top, 1], stack[top, 2] = count, a, b
                top += 1
            count += 1
    return count


def grow_tree(
    trunk_mm: NDArray[Any],
    points_mm: NDArray[Any],
    rng: np.random.Generator,
    *,
    fraction: float = 0.36,
    least: int = 2,
    shortest_mm: float = 1.2,
) -> Tree:
    """Grow a tree from the end of a trunk into a cloud of points.

    Parameters
    ----------
    trunk_mm
        ``(n, 3)`` world points of the given stem, n >= 2.
    points_mm
        ``(m, 3)`` world points to feed, m >= 2.
    rng
        Source of the irregularity.
    fraction
        How far a branch runs towards the middle of its points.
    least
        A branch that feeds this few points ends.
    shortest_mm
        A shorter branch ends.
    """
    points = np.ascontiguousarray(points_mm, dtype=np.float64)
    stem = len(trunk_mm) - 1
    room = stem + 2 * len(points) + 8
    starts, ends = np.zeros((room, 3)), np.zeros((room, 3))
    parents, loads = np.full(room, -1, np.int64), np.zeros(room)
    # Put the stem's last piece at index 0 for the kernel, then the others are added in front by their parents.
    starts[0], ends[0], loads[0] = trunk_mm[-2], trunk_mm[-1], len(points)
    order = np.arange(len(points), dtype=np.int64)
    jitter = rng.uniform(-1.0, 1.0, (4099, 3))
    count = _grow(points, order, jitter, starts, ends, parents, loads, 1, fraction, least, shortest_mm)
    return Tree(starts[:count], ends[:count], parents[:count], loads[:count])


def curve(tree: Tree, radii_mm: NDArray[Any], pieces: int) -> tuple[NDArray[np.float64], ...]:
    """Return starts, ends ``(n, 3)`` and radii ``(n, 2)`` of the tree drawn as smooth curves.

    Each branch is a cubic Hermite curve that leaves along its parent and arrives along its own chord.
    """
    chord = tree.ends_mm - tree.starts_mm
    length = np.linalg.norm(chord, axis=1, keepdims=True) + 1e-9
    own = chord / length
    parent = np.maximum(tree.parents, 0)
    leave = np.where(tree.parents[:, None] >= 0, 0.75 * own[parent] + 0.55 * own, own)
    arrive = 0.9 * own + 0.1 * leave
    t = np.linspace(0.0, 1.0, pieces + 1)[:, None, None]
    path = (
        (2 * t**3 - 3 * t**2 + 1) * tree.starts_mm + (t**3 - 2 * t**2 + t) * leave * length
        + (3 * t**2 - 2 * t**3) * tree.ends_mm + (t**3 - t**2) * arrive * length
    )  # fmt: skip
    # A branch begins no thicker than its parent and thins a little towards its end.
    first = np.where(tree.parents >= 0, np.minimum(radii_mm[parent] * 0.92, radii_mm * 1.12), radii_mm)
    width = first + (radii_mm - first) * np.minimum(1.0, 2.0 * t[:, :, 0])
    return (
        path[:-1].reshape(-1, 3), path[1:].reshape(-1, 3),
        np.stack([width[:-1].ravel(), width[1:].ravel()], axis=1),
    )  # fmt: skip
