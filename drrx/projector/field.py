"""What a CT does not show of the detector's field."""

import numpy as np
from scipy.ndimage import gaussian_filter

from drrx.geometry import View
from drrx.volume import Volume

FADE_MM_PER_MM = 0.5  # sigma of the in-plane blur per mm beyond the scan: no sharp organ is continued for long


def extend_slices(volume: Volume, view: View) -> tuple[Volume, tuple[float, float]]:
    """Continue a CT beyond its first and last slice as far as rays of ``view`` pass, so that no cut edge shows.

    The end slices are repeated, blurred more the further out they lie: soft tissue goes on, structures fade. Nothing
    inside the scan changes. This is a completion, not anatomy; say so in the record.

    Parameters
    ----------
    volume
        Canonical, int16 HU.
    view
        A frontal view of it.

    Returns
    -------
    The longer volume, and the lengths added below the first and above the last slice, in mm.
    """
    slice_mm, row_mm, column_mm = volume.spacing_mm
    corners = view.pixel_world_mm(np.array([0, view.shape[0] - 1]), np.array([0, 0]))
    backs = volume.to_world(np.array([[0, 0, 0], [0, volume.shape[1] - 1, 0]]))[:, 1]
    share = (backs[:, None] - view.source_world_mm[1]) / (corners[:, 1] - view.source_world_mm[1])
    reach = view.source_world_mm[2] + share * (corners[:, 2] - view.source_world_mm[2])
    ends = volume.world_from_index[2, 3] + np.array([0.0, (volume.shape[0] - 1) * slice_mm])
    below, above = (max(0, int(np.ceil(gap / slice_mm))) for gap in (ends[0] - reach.min(), reach.max() - ends[1]))

    def fade(end: np.ndarray, distance: int) -> np.ndarray:
        sigma_mm = FADE_MM_PER_MM * distance * slice_mm
        return gaussian_filter(end.astype(np.float32), (sigma_mm / row_mm, sigma_mm / column_mm), mode="nearest")

    values = np.concatenate(
        [
            *(fade(volume.values[0], distance)[None] for distance in range(below, 0, -1)),
            volume.values,
            *(fade(volume.values[-1], distance)[None] for distance in range(1, above + 1)),
        ],
        dtype=volume.values.dtype, casting="unsafe",
    )  # fmt: skip
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(np.array([-below, 0, 0]))
    return Volume(values, affine), (below * slice_mm, above * slice_mm)
