"""Which array axis of a volume runs along which axis of the body."""

import numpy as np
from numpy.typing import NDArray

# World axis (x, y, z) that each array axis (slice, row, column) of a canonical volume runs along.
WORLD_AXES = (2, 1, 0)


def match_axes(world_from_index: NDArray[np.float64]) -> list[int]:
    """Return the array axis that fits each of slice (z), row (y) and column (x) best, the clearest fit first."""
    directions = world_from_index[:3, :3]
    weight = np.abs(directions / np.linalg.norm(directions, axis=0))
    order = [-1, -1, -1]
    for _ in range(3):
        world, axis = np.unravel_index(weight.argmax(), weight.shape)
        order[WORLD_AXES.index(int(world))] = int(axis)
        weight[world, :] = weight[:, axis] = -1.0
    return order
