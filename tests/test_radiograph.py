"""The physics chain: closed forms, every switch, and that nothing away from a nodule knows of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kurtosis

from drrx.errors import DrrxError
from drrx.geometry import make_standard_view
from drrx.io.image import read_image, write_image
from drrx.radiograph.attenuation import make_bases, make_line_integral
from drrx.radiograph.beam import Beam
from drrx.radiograph.detector import COLUMN_GAIN, Detector, make_blur
from drrx.radiograph.display import DisplayCurve
from drrx.radiograph.exposure import make_exposure
from drrx.radiograph.film import Film
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.patch import NodulePatch
from drrx.stages.compose_drr import AddedLengths, add_lengths, cast_shadow, project_patches

#: Beer-Lambert and nothing else.
QUIET = ComposeDrrSettings(
    scatter=0, detector_kerma_ugy=0, electronic_noise_percent=0, detector_blur_mm=0, gain_percent=0
)
ONLY_SCATTER = replace(QUIET, scatter=1)
ONLY_QUANTA = replace(QUIET, detector_kerma_ugy=2.5)


def make_chest_maps(size=160):
    """A line integral like a chest's: lungs at 1.3, mediastinum at 4, soft tissue at 3 around, air outside."""
    rows, columns = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    body = (np.abs(columns) < 0.9) & (np.abs(rows) < 2)
    lung = (np.abs(np.abs(columns) - 0.45) < 0.25) & (np.abs(rows) < 0.6)
    mediastinum = (np.abs(columns) < 0.18) & (np.abs(rows) < 0.6)
    line = np.where(lung, 1.3, np.where(mediastinum, 4.0, 3.0)) * body
    return line.astype(np.float32), (lung * 150).astype(np.float32), (mediastinum * 120).astype(np.float32)


def expose(settings, pitch_mm=2.6, seed=0, maps=None):
    line, lung_mm, mediastinum_mm = maps or make_chest_maps()
    rng = np.random.default_rng(seed)
    return make_exposure(line, lung_mm > 60, mediastinum_mm > 60, pitch_mm, settings, rng)


def expose_flat(settings, line=1.5, pitch_mm=0.4, size=256, seed=3):
    """Relative deviation of the signal behind an even slab."""
    level = np.full((size, size), line, np.float32)
    nothing = np.zeros_like(level)
    return np.expm1(line - expose(settings, pitch_mm, seed, (level, nothing, nothing)).detect(level))


def test_bases_give_the_attenuation_of_water_air_and_bone():
    water, bone = make_bases(np.array([-3024, -1000, -850, 0, 1000], np.int16))
    np.testing.assert_allclose(water, [0, 0, 0.15, 1, 1], atol=1e-6)
    np.testing.assert_allclose(bone, [0, 0, 0, 0, 1])
    line = make_line_integral(water * 100, bone * 100, ComposeDrrSettings(beam="monoenergetic"))
    np.testing.assert_allclose(line, 0.0205 * 100 * np.array([0, 0, 0.15, 1, 1 + 1.25]), rtol=1e-6)


def test_without_physics_the_log_signal_is_the_line_integral():
    line, *_ = make_chest_maps()
    np.testing.assert_allclose(expose(QUIET).detect(line), line, atol=1e-5)


def test_without_noise_nothing_is_left_to_chance():
    line, *_ = make_chest_maps()
    calm = replace(ComposeDrrSettings(), detector_kerma_ugy=0, gain_percent=0)
    np.testing.assert_array_equal(expose(calm, seed=0).detect(line), expose(calm, seed=1).detect(line))
    assert (
        expose(ComposeDrrSettings(), seed=0).detect(line) != expose(ComposeDrrSettings(), seed=1).detect(line)
    ).any()


@pytest.mark.parametrize(("grid", "in_lung", "in_mediastinum"), [(True, 0.40, 0.62), (False, 0.61, 0.87)])
def test_scatter_fractions_are_the_asked_ones(grid, in_lung, in_mediastinum):
    line, lung_mm, mediastinum_mm = make_chest_maps()
    scatter = expose(replace(ONLY_SCATTER, grid=grid)).scatter
    fraction = scatter / (scatter + np.exp(-line))
    assert np.median(fraction[lung_mm > 60]) == pytest.approx(in_lung, abs=0.03)
    assert np.median(fraction[mediastinum_mm > 60]) == pytest.approx(in_mediastinum, abs=0.04)
    np.testing.assert_allclose(expose(replace(ONLY_SCATTER, grid=grid, scatter=0.5)).scatter, scatter / 2, rtol=1e-5)
    # As an image it is smooth: no edge of the anatomy, where the primary jumps by a factor of 15, shows in it.
    assert np.abs(np.diff(np.log(scatter[:, 10:-10]), axis=1)).max() < 0.2


def test_a_symmetric_chest_scatters_symmetrically():
    scatter = expose(ONLY_SCATTER, pitch_mm=0.4).scatter  # ten pixels per cell of the coarse grid
    np.testing.assert_allclose(scatter, scatter[:, ::-1], rtol=1e-4)
    np.testing.assert_allclose(scatter, scatter[::-1], rtol=1e-4)


def test_scatter_takes_contrast_by_its_share():
    line, *_ = make_chest_maps()
    thicker = line + np.float32(0.01)
    for settings in (ONLY_SCATTER, QUIET):
        exposure = expose(settings)
        contrast = (exposure.detect(thicker) - exposure.detect(line)) / 0.01
        primary_share = np.exp(-line) / (np.exp(-line) + exposure.scatter)
        np.testing.assert_allclose(contrast, primary_share, atol=6e-3)  # second order in 0.01, float32


def test_a_view_without_mediastinum_still_scatters():
    line, lung_mm, _ = make_chest_maps()
    scatter = expose(ONLY_SCATTER, maps=(line, lung_mm, 0 * lung_mm)).scatter
    assert np.median((scatter / (scatter + np.exp(-line)))[lung_mm > 60]) == pytest.approx(0.40, abs=0.03)


@pytest.mark.parametrize(("pitch_mm", "published"), [(0.139, 0.030), (0.4, 0.0104)])
def test_quantum_noise_follows_poisson(pitch_mm, published):
    noise = expose_flat(ONLY_QUANTA, pitch_mm=pitch_mm)
    assert noise.std() == pytest.approx(published, rel=0.05)  # 2.5 uGy: about 29,000 photons/mm2/uGy, 75 % absorbed
    assert abs(kurtosis(noise.ravel())) < 0.1
    assert expose_flat(replace(ONLY_QUANTA, detector_kerma_ugy=10), pitch_mm=pitch_mm).std() == pytest.approx(
        noise.std() / 2, rel=0.02
    )


def test_noise_grows_behind_the_mediastinum_as_the_signal_falls():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    exposure = expose(ONLY_QUANTA)
    noise = exposure.detect(line) - line
    ratio = noise[mediastinum_mm > 60].std() / noise[lung_mm > 60].std()
    assert ratio == pytest.approx(np.exp((4.0 - 1.3) / 2), rel=0.05)


def test_exposure_control_gives_the_detector_its_kerma_with_or_without_grid():
    line, *_ = make_chest_maps()
    body = line > 0.4
    for grid in (True, False):
        exposure = expose(replace(ONLY_QUANTA, scatter=1, grid=grid))
        per_pixel = exposure.detector.quanta * (np.exp(-line) + exposure.scatter)[body].mean()
        assert per_pixel == pytest.approx(2.5 * 28948 * 0.7465 * 2.6**2, rel=1e-3)


def test_electronic_noise_has_its_share_of_the_variance():
    asked = replace(ONLY_QUANTA, electronic_noise_percent=30)
    quantum = expose_flat(ONLY_QUANTA)
    electronic = expose_flat(asked) - quantum  # the same quanta: every effect has a stream of its own
    assert electronic.var() == pytest.approx(0.3 * quantum.var(), rel=0.03)
    assert abs(np.corrcoef(electronic.ravel(), quantum.ravel())[0, 1]) < 0.02


def test_switching_noise_leaves_the_gain_as_it_is():
    settings = replace(ComposeDrrSettings(), gain_percent=1)
    with_noise, without = (expose(replace(settings, detector_kerma_ugy=kerma)).detector.gain for kerma in (2.5, 0))
    np.testing.assert_array_equal(with_noise, without)


def test_gain_is_of_pixels_and_faintly_of_columns():
    settings = replace(QUIET, gain_percent=1)
    thin, thick = (expose_flat(settings, line=line) for line in (0.5, 4.0))
    np.testing.assert_allclose(thin, thick, atol=1e-5)  # a gain does not ask how much there is
    assert thin.std() == pytest.approx(0.01, rel=0.02)
    expected = 0.01 * np.hypot(COLUMN_GAIN, 1 / np.sqrt(256))
    assert thin.mean(axis=0).std() == pytest.approx(expected, rel=0.15)
    assert thin.mean(axis=1).std() == pytest.approx(0.01 / np.sqrt(256), rel=0.15)
    # At the default, stripes stay below what quantum noise leaves in the mean of a column of 1024 pixels.
    assert COLUMN_GAIN * ComposeDrrSettings().gain_percent / 100 < 0.0104 / np.sqrt(1024)


@pytest.mark.parametrize("pitch_mm", [0.139, 0.2, 0.42])
def test_edge_response_has_the_gaussian_modulation_transfer(pitch_mm):
    settings = replace(QUIET, detector_blur_mm=0.145)
    line = np.zeros((8, 64), np.float32)
    line[:, 32:] = 2
    signal = np.exp(-expose(settings, pitch_mm, maps=(line, 0 * line, 0 * line)).detect(line))[4]
    spread = np.diff(signal.astype(float)) / (np.exp(-2) - 1)
    frequency = np.linspace(0, 0.45 / pitch_mm, 50)  # per mm
    transfer = np.abs(np.exp(-2j * np.pi * pitch_mm * np.outer(frequency, np.arange(63))) @ spread)
    wanted = np.exp(-2 * (np.pi * 0.145 * frequency) ** 2)
    np.testing.assert_allclose(transfer, wanted, atol=0.02)
    if pitch_mm == 0.139:
        assert np.interp(1.29, frequency, transfer) == pytest.approx(0.50, abs=0.01)  # Marshall 2011


def test_blur_of_nothing_is_nothing_and_keeps_the_sum():
    np.testing.assert_array_equal(make_blur(0), [1])
    for sigma_px in (0.05, 0.3, 1, 3):
        assert make_blur(sigma_px).sum() == pytest.approx(1, abs=1e-6)


def test_the_detector_blurs_the_noise_of_its_quanta():
    noise = expose_flat(replace(ONLY_QUANTA, detector_blur_mm=0.145), pitch_mm=0.139)
    power = np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)) / 0.139
    near = power[np.abs(frequency - 1.29) < 0.1].mean() / power[(frequency > 0.05) & (frequency < 0.25)].mean()
    assert near == pytest.approx(0.25, rel=0.12)  # the square of the modulation transfer


def test_display_curve_is_rising_and_invertible():
    curve = DisplayCurve(0.5, 4.0, 0.7)
    signal = np.linspace(0.51, 3.99, 500).astype(np.float32)
    display = curve.apply(signal)
    assert (np.diff(display) > 0).all()
    np.testing.assert_allclose(curve.invert(display), signal, atol=1e-4)
    np.testing.assert_allclose(curve.apply(np.array([-1.0, 9.0], np.float32)), [0, 1], atol=1e-6)


def test_log_signal_comes_back_from_the_stored_file(tmp_path):
    line, lung_mm, mediastinum_mm = make_chest_maps()
    view = make_standard_view(np.zeros(3), size_px=160)
    film = Film.expose_twin(line, lung_mm, mediastinum_mm, view, ComposeDrrSettings(), np.random.default_rng(0))
    write_image(tmp_path / "drr.png", film.develop(line))
    record = json.loads(json.dumps({"display": film.curve.to_json()}))
    curve = DisplayCurve.from_json(record["display"])
    display = read_image(tmp_path / "drr.png")
    shown = (display > 0) & (display < 1)
    signal = film.exposure.detect(line)
    np.testing.assert_allclose(curve.invert(display)[shown], signal[shown], atol=1e-4)
    assert shown[lung_mm > 60].mean() > 0.98  # what the window cuts off is lost


def test_a_record_of_another_kind_is_told():
    with pytest.raises(DrrxError, match=r"display record.*'slope'.*low, high, gamma and slope"):
        DisplayCurve.from_json({"low": 1, "high": 4, "gamma": 0.7})


@pytest.mark.parametrize("kerma_ugy", [2.5, 1e-4])  # the second is so little that much of the image is at its floor
def test_only_the_nodule_differs_from_the_twin(kerma_ugy):
    line, lung_mm, mediastinum_mm = make_chest_maps()
    view = make_standard_view(np.zeros(3), size_px=160)
    settings = ComposeDrrSettings(detector_kerma_ugy=kerma_ugy)
    film = Film.expose_twin(line, lung_mm, mediastinum_mm, view, settings, np.random.default_rng(0))
    positive = line.copy()
    positive[70:80, 75:85] += 2  # the darkest place of all
    difference = film.develop(positive) - film.develop(line)
    assert np.abs(difference[72:78, 77:83]).max() > 0
    reach = len(film.exposure.detector.blur) // 2
    difference[70 - reach : 80 + reach, 75 - reach : 85 + reach] = 0
    assert np.abs(difference).max() == 0


def test_bone_is_white_and_air_is_black():
    line, lung_mm, mediastinum_mm = make_chest_maps()
    view = make_standard_view(np.zeros(3), size_px=160)
    film = Film.expose_twin(line, lung_mm, mediastinum_mm, view, ComposeDrrSettings(), np.random.default_rng(0))
    drr = film.develop(line)
    assert drr[80, 2] < 0.01
    assert np.median(drr[mediastinum_mm > 60]) > np.median(drr[lung_mm > 60]) + 0.3


def make_bases_with_two_nodules():
    rng = np.random.default_rng(1)
    bases = tuple(rng.uniform(50, 250, (40, 50)).astype(np.float32) * share for share in (1, np.float32(0.1)))
    windows = (slice(5, 20), slice(8, 30)), (slice(12, 25), slice(20, 45))
    added = []
    for window in windows:
        shape = tuple(part.stop - part.start for part in window)
        water, bone = (rng.uniform(0, most, shape).astype(np.float32) for most in (20, 5))
        water[0], bone[0] = 0, 0
        added.append(AddedLengths(window, water, water, bone))
    return bases, added


def test_overlapping_nodules_compose_to_the_line_integral_of_both():
    bases, added = make_bases_with_two_nodules()
    total = [base.astype(np.float64) for base in bases]
    for lengths in added:
        total[0][lengths.window] += lengths.water_mm
        total[1][lengths.window] += lengths.bone_mm
    beam = Beam.from_settings(ComposeDrrSettings())
    composed = beam.attenuate(*add_lengths(bases, added))
    np.testing.assert_allclose(composed, beam.attenuate(*total), rtol=2e-6)
    untouched = np.ones(bases[0].shape, bool)
    for lengths in added:
        untouched[lengths.window][1:] = False  # the first row of each adds nothing
    np.testing.assert_array_equal(composed[untouched], beam.attenuate(*bases)[untouched])


def test_shadow_is_the_difference_that_the_nodule_makes():
    bases, added = make_bases_with_two_nodules()
    for kind in ("120kvp", "monoenergetic"):
        beam = Beam.from_settings(ComposeDrrSettings(beam=kind))
        scatter = np.full_like(bases[0], 0.02)
        shadows = [cast_shadow(lengths, bases, beam, scatter) for lengths in added]
        twin = beam.attenuate(*bases)
        alone = beam.attenuate(*add_lengths(bases, added[:1])) - twin
        np.testing.assert_allclose(shadows[0].delta_line_integral, alone[added[0].window], atol=3e-6)
        assert (shadows[0].row, shadows[0].column) == (5, 8)
        signals = [np.exp(-line[added[0].window]) + 0.02 for line in (twin, twin + alone)]
        np.testing.assert_allclose(shadows[0].delta_log_signal, -np.log(signals[1] / signals[0]), atol=3e-6)
        assert np.all(shadows[0].delta_log_signal <= shadows[0].delta_line_integral + 1e-6)
        assert np.abs(shadows[0].delta_line_integral[0]).max() == 0
        both = beam.attenuate(*add_lengths(bases, added)) - twin
        total = np.zeros_like(both)
        for shadow, lengths in zip(shadows, added, strict=True):
            total[lengths.window] += shadow.delta_line_integral
        excess = total - both
        if kind == "monoenergetic":
            np.testing.assert_allclose(excess, 0, atol=3e-6)
        else:  # the second nodule meets a beam that the first has hardened
            assert excess[12:20, 20:30].max() > 1e-4
            assert excess.min() > -3e-6


def test_patch_adds_its_thickness_on_the_ray():
    # A slab of 20 mm of soft tissue at 100 HU in lung of -800 HU.
    occupancy = np.ones((40, 40, 40), np.float32)
    affine = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 1.0]])
    patch = NodulePatch(occupancy, occupancy * -800, occupancy * 100, affine)
    view = make_standard_view(np.full(3, 9.75), size_px=512)
    (lengths,) = project_patches([patch], view)
    middle = tuple(size // 2 for size in lengths.path_mm.shape)
    assert lengths.path_mm[middle] == pytest.approx(20, rel=1e-3)
    assert lengths.water_mm[middle] == pytest.approx(0.8 * 20, rel=1e-3)
    assert lengths.bone_mm[middle] == pytest.approx(0.1 * 20, rel=1e-3)


def test_detector_off_hands_on_what_it_gets():
    radiation = np.linspace(0.01, 1, 12, dtype=np.float32).reshape(3, 4)
    detector = Detector.draw(0.1, (3, 4), 0.4, QUIET, np.random.default_rng(0))
    np.testing.assert_array_equal(detector.detect(radiation), radiation)
