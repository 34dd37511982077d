"""The physics chain: closed forms, and that nothing away from a nodule knows of it."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from drrx.geometry import make_standard_view
from drrx.radiograph.attenuation import make_bases, make_line_integral
from drrx.radiograph.display import DisplayCurve
from drrx.radiograph.exposure import make_exposure
from drrx.radiograph.film import Film
from drrx.radiograph.settings import ComposeDrrSettings

QUIET = ComposeDrrSettings(
    scatter_fraction_lung=0, scatter_fraction_mediastinum=0, detector_kerma_ugy=0, detector_blur_mm=0
)
RNG_SEED = 3


def make_chest_maps(size=160):
    """A line integral like a chest's: lungs at 1.3, mediastinum at 4, soft tissue at 3 around, air outside."""
    rows, columns = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    body = (np.abs(columns) < 0.9) & (np.abs(rows) < 2)
    lung = (np.abs(np.abs(columns) - 0.45) < 0.25) & (np.abs(rows) < 0.6)
    mediastinum = (np.abs(columns) < 0.18) & (np.abs(rows) < 0.6)
    line = np.where(lung, 1.3, np.where(mediastinum, 4.0, 3.0)) * body
    return line.astype(np.float32), (lung * 150).astype(np.float32), (mediastinum * 120).astype(np.float32)


def test_bases_give_the_attenuation_of_water_air_and_bone():
    water, bone = make_bases(np.array([-3024, -1000, -850, 0, 1000], np.int16))
    np.testing.assert_allclose(water, [0, 0, 0.15, 1, 1], atol=1e-6)
    np.testing.assert_allclose(bone, [0, 0, 0, 0, 1])
    line = make_line_integral(water * 100, bone * 100, ComposeDrrSettings())
    np.testing.assert_allclose(line, 0.0205 * 100 * np.array([0, 0, 0.15, 1, 1 + 1.25]), rtol=1e-6)


def test_without_physics_the_log_signal_is_the_line_integral():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    exposure = make_exposure(line, lung_mm > 60, mediastinum_mm > 60, 0.42, QUIET, np.random.default_rng(0))
    np.testing.assert_allclose(exposure.detect(line), line, atol=1e-5)


def test_scatter_fractions_are_the_asked_ones():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    settings = ComposeDrrSettings(detector_kerma_ugy=0, detector_blur_mm=0)
    exposure = make_exposure(line, lung_mm > 60, mediastinum_mm > 60, 2.6, settings, np.random.default_rng(0))
    fraction = exposure.scatter / (exposure.scatter + np.exp(-line))
    assert np.median(fraction[lung_mm > 60]) == pytest.approx(0.40, abs=0.03)
    assert np.median(fraction[mediastinum_mm > 60]) == pytest.approx(0.62, abs=0.04)


def test_quantum_noise_follows_poisson():
    size, level = 256, 1.5
    line = np.full((size, size), level, np.float32)
    settings = ComposeDrrSettings(
        scatter_fraction_lung=0, scatter_fraction_mediastinum=0, detector_blur_mm=0, detector_kerma_ugy=2.5
    )
    nothing = np.zeros(line.shape, bool)
    exposure = make_exposure(line, nothing, nothing, 0.4, settings, np.random.default_rng(RNG_SEED))
    noise = exposure.detect(line) - level
    # 31,200 photons/mm2/uGy, 75 % absorbed: 1.0 % at 2.5 uGy and 0.4 mm.
    assert noise.std() == pytest.approx(1 / np.sqrt(31200 * 0.75 * 2.5 * 0.4**2), rel=0.03)
    assert abs(kurtosis(noise.ravel())) < 0.1


def test_display_curve_is_rising_and_invertible():
    curve = DisplayCurve(0.5, 4.0, 0.7)
    signal = np.linspace(0.51, 3.99, 500).astype(np.float32)
    display = curve.apply(signal)
    assert (np.diff(display) > 0).all()
    np.testing.assert_allclose(curve.invert(display), signal, atol=1e-4)
    np.testing.assert_allclose(curve.apply(np.array([-1.0, 9.0], np.float32)), [0, 1], atol=1e-6)


def test_only_the_nodule_differs_from_the_twin():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    view = make_standard_view(np.zeros(3), size_px=160)
    settings = ComposeDrrSettings()
    film = Film.expose_twin(line, lung_mm, mediastinum_mm, view, settings, np.random.default_rng(0))
    positive = line.copy()
    positive[70:80, 30:40] += 0.2
    difference = film.develop(positive) - film.develop(line)
    assert difference[72:78, 32:38].min() > 0  # a nodule is whiter
    difference[68:82, 28:42] = 0
    assert np.abs(difference).max() == 0


def test_bone_is_white_and_air_is_black():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    view = make_standard_view(np.zeros(3), size_px=160)
    film = Film.expose_twin(line, lung_mm, mediastinum_mm, view, ComposeDrrSettings(), np.random.default_rng(0))
    drr = film.develop(line)
    assert drr[80, 2] < 0.01
    assert np.median(drr[mediastinum_mm > 60]) > np.median(drr[lung_mm > 60]) + 0.3
