"""The flat-panel detector: quantum noise, blur, uneven gain and electronic noise; one draw for twin and variants."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from drrx.radiograph.settings import ComposeDrrSettings

# Photons per mm2 and uGy of the 120 kVp beam behind 90 mm of water, and the share of them that CsI absorbs: the table
# of the beam, which scripts/make_beam_table.py makes.
DETECTED_QUANTA_PER_MM2_UGY = 28948 * 0.7465
COLUMN_GAIN = 0.1  # amplifiers of columns differ by this share of what pixels differ
OFF = np.zeros((), np.float32)  # a field that is nothing everywhere


@dataclass(frozen=True, eq=False)
class Detector:
    """How a detector turns radiation into signal; no pixel further than the blur from a nodule knows of it.

    Attributes
    ----------
    quanta
        Detected quanta per pixel in the unattenuated beam; infinite when noise is off.
    quantum_noise
        float32 ``[row, column]``, standard normal.
    blur
        float32, odd length: the detector's line spread function at whole pixels; one tap of 1 when blur is off.
    gain
        float32 ``[row, column]``: relative gain left after flat-field correction, minus 1.
    electronic_noise
        float32 ``[row, column]``, in units of the unattenuated primary beam.

    A field that is off is the scalar 0.
    """

    quanta: float
    quantum_noise: NDArray[np.float32]
    blur: NDArray[np.float32]
    gain: NDArray[np.float32]
    electronic_noise: NDArray[np.float32]

    @classmethod
    def draw(
        cls,
        mean_signal: float,
        shape: tuple[int, int],
        pitch_mm: float,
        settings: ComposeDrrSettings,
        rng: np.random.Generator,
    ) -> Self:
        """Draw a detector and one exposure of it.

        Parameters
        ----------
        mean_signal
            Mean of primary and scatter behind the patient, in units of the unattenuated primary: where the settings'
            kerma holds, as automatic exposure control sees to.
        shape, pitch_mm
            Pixels, and their pitch in mm.
        settings
            Kerma, blur, gain, electronic noise.
        rng
            Each effect draws from a child of its own: one switched off leaves the others as they are.
        """
        quantum, electronic, pixels, columns = rng.spawn(4)
        quanta, quantum_noise, electronic_noise = np.inf, OFF, OFF
        if settings.detector_kerma_ugy > 0:
            quanta = settings.detector_kerma_ugy * DETECTED_QUANTA_PER_MM2_UGY * pitch_mm**2 / mean_signal
            quantum_noise = quantum.standard_normal(shape, dtype=np.float32)
            share = settings.electronic_noise_percent / 100
            if share > 0:
                electronic_noise = electronic.standard_normal(shape, dtype=np.float32)
                electronic_noise *= np.float32(np.sqrt(share * mean_signal / quanta))
        gain = OFF
        if settings.gain_percent > 0:
            gain = pixels.standard_normal(shape, dtype=np.float32)
            gain += COLUMN_GAIN * columns.standard_normal(shape[1], dtype=np.float32)
            gain *= settings.gain_percent / 100
        return cls(quanta, quantum_noise, make_blur(settings.detector_blur_mm / pitch_mm), gain, electronic_noise)

    def detect(self, radiation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the signal, float32 ``[row, column]``, of primary plus scatter; both in units of the open beam.

        The scintillator blurs quanta together with their noise; the read-out adds its own. Poisson noise in its
        Gaussian limit.
        """
        signal = radiation + np.sqrt(radiation / self.quanta) * self.quantum_noise
        if len(self.blur) > 1:
            for axis in (0, 1):
                signal = correlate1d(signal, self.blur, axis, mode="nearest")
        return signal * (1 + self.gain) + self.electronic_noise


def make_blur(sigma_px: float) -> NDArray[np.float32]:
    """Return taps whose modulation transfer is the Gaussian ``exp(-(sigma w)^2 / 2)`` up to the Nyquist frequency.

    They are the least-squares solution: a Gaussian sampled at the pixels blurs much too little where sigma is below
    one pixel, as it is for images of 1024 pixels.

    Parameters
    ----------
    sigma_px
        Standard deviation in pixels; 0 gives one tap of 1.

    Returns
    -------
    float32, symmetric, odd length, sum 1.
    """
    if sigma_px == 0:
        return np.ones(1, np.float32)
    num_free = max(3, int(np.ceil(4 * sigma_px)))
    frequency = np.linspace(0, np.pi, 16 * num_free + 1)  # radians per pixel
    # Taps on one side; the middle one is what is left to a sum of 1.
    waves = 2 * (np.cos(frequency[:, None] * np.arange(1, num_free + 1)) - 1)
    side = np.linalg.lstsq(waves, np.exp(-((sigma_px * frequency) ** 2) / 2) - 1, rcond=None)[0]
    return np.concatenate([side[::-1], [1 - 2 * side.sum()], side]).astype(np.float32)
