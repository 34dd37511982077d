"""The slow, readable projector: trilinear samples along every ray."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from drrx.geometry import View
from drrx.volume import Volume


def project_volume_reference(volume: Volume, view: View, *, step_mm: float = 0.1) -> NDArray[np.float32]:
    """Integrate the trilinear interpolant of ``volume`` (0 outside) from the source to each pixel.

    Parameters
    ----------
    volume
        Any numeric values.
    view
        Any cone-beam view.
    step_mm
        Distance between samples (midpoint rule).

    Returns
    -------
    float32 ``[row, column]``, unit of the values times mm.
    """
    low, high = -np.ones(3), np.array(volume.shape, float)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(volume.to_world(corners) - view.source_world_mm, axis=1)
    near, far = max(0.0, distance.min() - np.linalg.norm(np.ptp(corners, axis=0) * volume.spacing_mm)), distance.max()
    values = volume.values.astype(np.float64)
    image = np.zeros(view.shape, np.float32)
    for row, column in np.ndindex(view.shape):
        ray = view.pixel_world_mm(np.array(row), np.array(column)) - view.source_world_mm
        length = float(np.linalg.norm(ray))
        num_steps = max(1, int(np.ceil((min(far, length) - near) / step_mm)))
        depth, width = np.linspace(near, min(far, length), num_steps, endpoint=False, retstep=True)
        points = view.source_world_mm + (depth + width / 2)[:, None] * (ray / length)
        samples = map_coordinates(values, volume.to_index(points).T, order=1, mode="grid-constant", cval=0.0)
        image[row, column] = samples.sum() * width
    return image
