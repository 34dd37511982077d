"""Scattered radiation behind a chest: a smooth field with the measured share of the signal."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import oaconvolve

from drrx.radiograph.settings import ComposeDrrSettings

# Share of the signal behind lung and behind the mediastinum, by whether there is a grid. Without: measured by Floyd,
# Chotas and Ravin 1994. With a 10-12:1 grid: ours, between their low-ratio grid (0.49, 0.76) and Niklason 1981.
SCATTER_FRACTIONS = {False: (0.61, 0.87), True: (0.40, 0.62)}
COARSE_MM = 4.0  # scatter is smooth: it is computed on this coarse grid
SMOOTHING_MM = 15.0  # no edge of the anatomy may show in the scatter


def make_scatter(
    line_integral: NDArray[np.float32],
    lung: NDArray[np.bool_],
    mediastinum: NDArray[np.bool_],
    pitch_mm: float,
    settings: ComposeDrrSettings,
) -> NDArray[np.float32]:
    """Return a smooth field that has the known share of the signal behind lung and behind the mediastinum.

    ``S = gain * exp(-damping * L) * (source convolved with a radial exponential)``: thick parts take up more of the
    scatter that reaches them. Two shares, two unknowns.

    Parameters
    ----------
    line_integral
        float32 ``[row, column]``, no unit.
    lung, mediastinum
        bool ``[row, column]``: where the shares hold. Without lung there is nothing to tell the scatter: it is 0.
        Without mediastinum there is no damping.
    pitch_mm
        Pixel pitch on the detector, mm.
    settings
        Strength, grid, width of the kernel.

    Returns
    -------
    float32 ``[row, column]``, in units of the unattenuated primary beam.
    """
    block = max(1, round(COARSE_MM / pitch_mm))
    line, primary = _block_mean(line_integral, block), _block_mean(np.exp(-line_integral), block)
    is_lung, is_mediastinum = (_block_mean(mask, block) > 0.5 for mask in (lung, mediastinum))
    if settings.scatter == 0 or not is_lung.any():
        return np.zeros_like(line_integral)
    # The open beam beside the body scatters little: the source is the primary weighted by the chance to interact.
    spread = _convolve_exponential(primary * (1 - np.exp(-line)), settings.scatter_fwhm_mm / (block * pitch_mm))

    def needed(where: NDArray[np.bool_], fraction: float) -> tuple[float, float]:
        """Logarithm of scatter over ``spread`` that gives ``fraction`` there, and the line integral there."""
        factor = settings.scatter * fraction / (1 - fraction) * primary[where] / spread[where]
        return float(np.log(np.median(factor))), float(np.median(line[where]))

    fraction_lung, fraction_mediastinum = SCATTER_FRACTIONS[settings.grid]
    gain, line_lung = needed(is_lung, fraction_lung)
    damping = 0.0
    if is_mediastinum.any():
        gain_mediastinum, line_mediastinum = needed(is_mediastinum, fraction_mediastinum)
        damping = max(0.0, (gain - gain_mediastinum) / max(line_mediastinum - line_lung, 1e-6))
    smooth_line = gaussian_filter(line, SMOOTHING_MM / (block * pitch_mm), mode="nearest")
    return _refine(spread * np.exp(gain - damping * (smooth_line - line_lung)), block, line_integral.shape)


def _convolve_exponential(image: NDArray[np.float64], fwhm_px: float) -> NDArray[np.float64]:
    # exp(-r / a) falls to one half at r = a ln 2, so its full width at half maximum is 2 a ln 2.
    scale_px = fwhm_px / (2 * np.log(2))
    reach = int(np.ceil(4 * scale_px))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-np.hypot(offsets[:, None], offsets[None, :]) / scale_px)
    spread = oaconvolve(np.pad(image, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.maximum(spread, 1e-6)  # the FFT leaves tiny negative values where nothing scatters


def _block_mean(image: NDArray, block: int) -> NDArray[np.float64]:
    """Return the mean of every ``block`` x ``block`` pixels, float64; the border is continued to fill the last ones."""
    for axis in (1, 0):
        image = np.moveaxis(image, axis, -1)
        whole = np.pad(image, ((0, 0), (0, -image.shape[-1] % block)), mode="edge")
        image = np.moveaxis(whole.reshape(*whole.shape[:-1], -1, block).mean(axis=-1, dtype=np.float64), -1, axis)
    return image


def _refine(coarse: NDArray[np.float64], block: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate block means linearly to the pixels of ``shape``; constant beyond the outermost centres."""
    values = coarse.astype(np.float32)
    for size in shape:  # rows, then columns: each pass turns the image round
        position = np.clip((np.arange(size) + 0.5) / block - 0.5, 0, len(values) - 1)
        lower = np.minimum(position.astype(int), max(len(values) - 2, 0))
        share = (position - lower).astype(np.float32)[:, None]
        upper = np.minimum(lower + 1, len(values) - 1)
        values = np.ascontiguousarray((values[lower] * (1 - share) + values[upper] * share).T)
    return values
