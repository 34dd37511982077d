"""Line integrals to a detected log signal: Beer-Lambert, scatter behind a grid, quantum noise, detector blur."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal import oaconvolve

from drrx.radiograph.settings import ComposeDrrSettings

# 31,200 photons per mm2 and uGy behind the patient at 120 kVp, of which CsI absorbs 75 %.
DETECTED_QUANTA_PER_MM2_UGY = 31200 * 0.75
SCATTER_GRID_MM = 4.0  # scatter is smooth: it is computed on this coarse grid
SCATTER_SMOOTHING_MM = 15.0  # no edge of the anatomy may show in the scatter
BODY_LINE_INTEGRAL = 0.4  # 20 mm of water: less is skin, clothes or air


@dataclass(frozen=True, eq=False)
class Exposure:
    """What twin and positive share, so that a pixel away from the nodule cannot know the label.

    Attributes
    ----------
    scatter
        float32 ``[row, column]``, in units of the unattenuated primary beam; from the twin.
    noise
        float32 ``[row, column]``: standard normal field, or zeros.
    quanta
        Detected quanta per pixel in the unattenuated beam; infinite when noise is off.
    blur_px
        Sigma of the detector blur in pixels.
    """

    scatter: NDArray[np.float32]
    noise: NDArray[np.float32]
    quanta: float
    blur_px: float

    def detect(self, line_integral: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the detected log signal ``-ln(I / I0)`` (no unit), float32 ``[row, column]``.

        ``line_integral`` is float32 ``[row, column]``, no unit. ``I`` is primary plus scatter, blurred by the detector,
        plus Poisson noise in its Gaussian limit.
        """
        primary = np.exp(-line_integral)
        if self.blur_px > 0:
            primary = gaussian_filter(primary, self.blur_px, mode="nearest")
        signal = primary + self.scatter
        noisy = signal + np.sqrt(signal / self.quanta) * self.noise
        floor = 0.02 * float(signal.min())  # a detected signal is positive; keeps the logarithm finite
        return -np.log(np.maximum(noisy, floor)).astype(np.float32)


def make_exposure(
    line_integral: NDArray[np.float32],
    lung: NDArray[np.bool_],
    mediastinum: NDArray[np.bool_],
    pitch_mm: float,
    settings: ComposeDrrSettings,
    rng: np.random.Generator,
) -> Exposure:
    """Make the exposure of one view from its twin.

    Parameters
    ----------
    line_integral
        float32 ``[row, column]``, no unit, of the CT without nodules.
    lung, mediastinum
        bool ``[row, column]``: pixels behind lung only, and behind the mediastinum; where the scatter fractions hold.
    pitch_mm
        Pixel pitch on the detector, mm.
    settings
        The physics.
    rng
        Draws the quantum noise.
    """
    primary = np.exp(-line_integral)
    scatter = _make_scatter(line_integral, lung, mediastinum, pitch_mm, settings)
    if settings.detector_kerma_ugy == 0:
        return Exposure(scatter, np.zeros_like(primary), np.inf, settings.detector_blur_mm / pitch_mm)
    body = line_integral > BODY_LINE_INTEGRAL
    behind_body = float((primary + scatter)[body].mean()) if body.any() else 1.0
    quanta = settings.detector_kerma_ugy * DETECTED_QUANTA_PER_MM2_UGY * pitch_mm**2 / behind_body
    noise = rng.standard_normal(primary.shape, dtype=np.float32)
    return Exposure(scatter, noise, quanta, settings.detector_blur_mm / pitch_mm)


def _make_scatter(
    line_integral: NDArray[np.float32],
    lung: NDArray[np.bool_],
    mediastinum: NDArray[np.bool_],
    pitch_mm: float,
    settings: ComposeDrrSettings,
) -> NDArray[np.float32]:
    """Smooth field that has the asked share of the signal behind lung and behind the mediastinum.

    ``S = gain * exp(-damping * L) * (source convolved with a radial exponential)``: thick parts take up more of the
    scatter that reaches them. Two shares, two unknowns.
    """
    block = max(1, round(SCATTER_GRID_MM / pitch_mm))
    line, primary = _block_mean(line_integral, block), _block_mean(np.exp(-line_integral), block)
    is_lung, is_mediastinum = (_block_mean(mask.astype(np.float32), block) > 0.5 for mask in (lung, mediastinum))
    if settings.scatter_fraction_lung == 0 or not is_lung.any():
        return np.zeros_like(line_integral)
    # The open beam beside the body scatters little: the source is the primary weighted by the chance to interact.
    spread = _convolve_exponential(primary * (1 - np.exp(-line)), settings.scatter_fwhm_mm / (block * pitch_mm))

    def needed(where: NDArray[np.bool_], fraction: float) -> tuple[float, float]:
        """Logarithm of scatter over ``spread`` that gives ``fraction`` there, and the line integral there."""
        factor = fraction / (1 - fraction) * primary[where] / spread[where]
        return float(np.log(np.median(factor))), float(np.median(line[where]))

    gain, line_lung = needed(is_lung, settings.scatter_fraction_lung)
    damping = 0.0
    if is_mediastinum.any() and settings.scatter_fraction_mediastinum > 0:
        gain_mediastinum, line_mediastinum = needed(is_mediastinum, settings.scatter_fraction_mediastinum)
        damping = max(0.0, (gain - gain_mediastinum) / max(line_mediastinum - line_lung, 1e-6))
    smooth_line = gaussian_filter(line, SCATTER_SMOOTHING_MM / (block * pitch_mm), mode="nearest")
    coarse = spread * np.exp(gain - damping * (smooth_line - line_lung))
    rows, columns = ((np.arange(size) + 0.5) / block - 0.5 for size in line_integral.shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return map_coordinates(coarse, grid, order=1, mode="nearest").astype(np.float32)


def _convolve_exponential(image: NDArray[np.float64], fwhm_px: float) -> NDArray[np.float64]:
    # exp(-r / a) falls to one half at r = a ln 2, so its full width at half maximum is 2 a ln 2.
    scale_px = fwhm_px / (2 * np.log(2))
    reach = int(np.ceil(4 * scale_px))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-np.hypot(offsets[:, None], offsets[None, :]) / scale_px)
    spread = oaconvolve(np.pad(image, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.maximum(spread, 1e-6)  # the FFT leaves tiny negative values where nothing scatters


def _block_mean(image: NDArray[np.float32], block: int) -> NDArray[np.float64]:
    rows, columns = (-size % block for size in image.shape)
    padded = np.pad(image, ((0, rows), (0, columns)), mode="edge").astype(np.float64)
    return padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block).mean(axis=(1, 3))
