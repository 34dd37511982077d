"""What a CT does not show of the detector's field."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

from drrx.geometry import View
from drrx.volume import Volume

AIR_HU = -1000
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

    values = np.concatenate(
        [
            _fade(volume.values[0], slice_mm * np.arange(below, 0, -1), row_mm, column_mm),
            volume.values,
            _fade(volume.values[-1], slice_mm * np.arange(1, above + 1), row_mm, column_mm),
        ],
        dtype=volume.values.dtype, casting="unsafe",
    )  # fmt: skip
    affine = volume.world_from_index.copy()
    affine[:3, 3] = volume.to_world(np.array([-below, 0, 0]))
    return Volume(values, affine), (below * slice_mm, above * slice_mm)


def _fade(end: NDArray[np.int16], distances_mm: NDArray, row_mm: float, column_mm: float) -> NDArray[np.float32]:
    """Return one blurred copy of the slice ``end`` per distance; the blur is a product in the frequency domain."""
    rows, columns = end.shape
    squared = fftfreq(rows, row_mm)[:, None] ** 2 + rfftfreq(columns, column_mm) ** 2
    spectrum = rfft2(end.astype(np.float32) - AIR_HU)  # what lies around the image is air, also across its border
    sigmas_mm = FADE_MM_PER_MM * distances_mm
    slices = [irfft2(spectrum * np.exp(-2 * (np.pi * sigma) ** 2 * squared), s=end.shape) for sigma in sigmas_mm]
    return np.round(np.array(slices, np.float32).reshape(-1, rows, columns)) + AIR_HU
