"""Tone, nodules: what twin and variants share."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from drrx.errors import DrrxError
from drrx.pairs.window import Window
from drrx.restorer.grain import weigh_grain
from drrx.restorer.look import make_look
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tone import IDENTITY, MIN_SLOPE, fit_tone
from drrx.restorer.twin import restore_twin
from tests.films import make_film
from tests.restorers import make_guided, make_restorer

FAST = RestoreCxrSettings(steps=2)


def make_pair(seed=0, height=300, width=600):
    twin = make_film(seed, height, width)
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - 145, columns - 55) < 15
    return twin, (twin + 0.05 * inside).astype(np.float32), inside


# Tone curve


def test_the_fit_finds_a_known_curve_despite_strange_pixels():
    rng = np.random.default_rng(0)
    before = rng.random((200, 200)).astype(np.float32)
    after = 0.6 * before**2 + 0.4 * before + 0.01 * rng.normal(size=before.shape)
    after[:20] = 1.0
    tone = fit_tone(before, after.astype(np.float32))
    x = np.linspace(0.1, 0.95, 50, dtype=np.float32)
    assert np.abs(tone.apply(x) - (0.6 * x**2 + 0.4 * x)).max() < 0.02
    assert np.abs(tone.slope(x) - (1.2 * x + 0.4)).mean() < 0.15


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_rises_everywhere_whatever_it_was_fitted_to(seed):
    before, after = np.random.default_rng(seed).normal(size=(2, 60, 60)).astype(np.float32)
    tone = fit_tone(before, after)
    x = np.linspace(-4, 4, 2001, dtype=np.float32)
    assert (np.diff(tone.apply(x)) > 0).all()
    knots = np.diff(tone.outputs) / np.diff(tone.inputs)
    assert (knots >= MIN_SLOPE - 1e-9).all()
    numeric = np.gradient(tone.apply(x).astype(np.float64), x.astype(np.float64))
    assert np.abs(numeric - tone.slope(x))[1:-1].max() < 0.05 * max(1.0, knots.max())


def test_black_stays_black_and_white_white_and_the_identity_is_one():
    grey = np.linspace(0, 1, 900, dtype=np.float32).reshape(30, 30)
    assert fit_tone(grey, 0.1 + 0.8 * grey).apply(np.float32([0, 1])) == pytest.approx([0, 1])
    assert fit_tone(grey, 0.1 + 0.8 * grey).apply(np.float32([0.5, 0.75])) == pytest.approx([0.5, 0.7], abs=0.01)
    flat = np.full((30, 30), 0.4, np.float32)
    assert 0 < fit_tone(flat, flat + 0.2).apply(np.float32([0.4]))[0] < 1
    x = np.linspace(-1, 2, 9, dtype=np.float32)
    assert IDENTITY.apply(x) == pytest.approx(x)
    assert (IDENTITY.slope(x) == 1).all()


# Low band


def low(image, sigma=16):
    return ndimage.gaussian_filter(image, sigma, mode="nearest")


def restore_low(low_band):
    image = make_film(0, 400, 400)
    settings = RestoreCxrSettings(mode="mean", tone="full", low_band=low_band, lock_sigma_px=16.0)
    twin = restore_twin(image, make_restorer(), settings, 0)
    values = twin.restored.look.window.apply(image)
    shown = twin.restored.image
    clear = (shown > 0) & (shown < 1)
    assert ndimage.gaussian_filter(clear.astype(float), 16).min() > 0.2
    return twin.restored.look, values, low(shown)


def test_low_band_input_keeps_the_inputs_tones():
    _, values, after = restore_low("input")
    _, _, free = restore_low("free")
    assert np.abs(after - low(values)).mean() < 0.3 * np.abs(free - low(values)).mean()


def test_low_band_tone_keeps_structures_and_takes_the_networks_tones():
    look, values, after = restore_low("tone")
    _, _, free = restore_low("free")
    assert np.abs(after - low(look.tone.apply(values))).mean() < 0.3 * np.abs(free - low(values)).mean()
    assert np.abs(after - free).mean() < np.abs(low(values) - free).mean()


def test_a_tone_curve_leaves_no_halo_at_a_strong_edge():
    body = np.zeros((256, 256), np.float32)
    body[:, 128:] = 0.8
    body += np.linspace(0, 0.2, 256, dtype=np.float32)[:, None]
    values = torch.from_numpy(body)[None, None]
    change = 0.7 * values * (1 - values)  # what lifts the dark tones
    look = make_look(values, change, Window(0.0, 1.0), RestoreCxrSettings())
    assert np.abs(look.correction).max() < 0.03


# Twin and variants


def test_a_variant_differs_from_its_twin_near_the_nodule_only():
    drr, variant, _ = make_pair()
    twin = restore_twin(drr, make_restorer(), FAST, 7)
    change = np.abs(twin.restore_variant(variant) - twin.restored.image)
    assert change[:, :120].max() > 0.01
    assert change[:, 300:].max() < 1e-6


def test_a_twin_is_its_own_variant_and_what_restore_cxr_gives():
    drr, _, _ = make_pair()
    twin = restore_twin(drr, make_restorer(), FAST, 7)
    assert np.array_equal(twin.restore_variant(drr), twin.restored.image)
    assert np.array_equal(restore_cxr([drr], make_restorer(), FAST, [7])[0], twin.restored.image)


@pytest.mark.parametrize("low_band", ["input", "tone"])
def test_additive_nodules_are_the_drrs_change_times_the_tone_gain(low_band):
    drr, variant, inside = make_pair()
    settings = dataclasses.replace(FAST, nodule_mode="additive", low_band=low_band)
    twin = restore_twin(drr, make_restorer(), settings, 7)
    out, plain = twin.restore_variant(variant), twin.restored.image
    assert np.array_equal(out[~inside], plain[~inside]), "outside the nodule bit-equal"
    look = twin.restored.look
    window = (look.shown.high - look.shown.low) / (look.window.high - look.window.low)
    slope = look.tone.slope(low(look.window.apply(drr), settings.lock_sigma_px))
    expected = window * slope * (variant - drr)
    clear = inside & (out > 0) & (out < 1)
    assert clear.sum() > 300
    assert np.abs((out - plain) - expected)[clear].max() < 0.02 * expected.max()
    if low_band == "input":
        assert np.allclose(slope, 1)


def test_a_variant_of_another_size_is_refused():
    twin = restore_twin(make_film(0), make_restorer(), FAST, 0)
    with pytest.raises(
        DrrxError, match=r"variant to restore: found shape \(64, 64\); needed the twin's shape \(300, 280\)"
    ):
        twin.restore_variant(np.zeros((64, 64), np.float32))


# Nodule map


def test_the_nodule_map_reaches_twin_and_variant_alike():
    drr, _, inside = make_pair()
    told = dataclasses.replace(FAST, nodule_condition=True)
    known = inside.astype(np.float32)
    with_map, without = (
        restore_twin(drr, make_guided(), told, 7, nodules) for nodules in (known, np.zeros_like(known))
    )
    change = np.abs(with_map.restored.image - without.restored.image)
    assert change[130:160, 40:70].max() > 1e-3
    assert np.abs(with_map.restore_variant(drr) - with_map.restored.image).max() == 0
    untold = restore_twin(drr, make_guided(), FAST, 7, known)
    assert np.array_equal(untold.restored.image, without.restored.image), "without the setting the map is left out"


def test_weights_that_know_of_no_nodules_are_refused_a_map():
    with pytest.raises(
        DrrxError, match="setting nodule_condition: found weights of a network that takes no nodule map"
    ):
        restore_twin(make_film(0), make_restorer(), dataclasses.replace(FAST, nodule_condition=True), 0)


# Grain


def test_grain_gains_are_those_of_their_octaves_and_stay_local():
    noise = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    assert np.array_equal(weigh_grain(noise, (1, 1, 1, 1)), noise)
    assert np.allclose(weigh_grain(noise, (2, 2, 2, 2)), 2 * noise, atol=1e-5)
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    for octave, gains in enumerate(np.eye(4) + 1):
        ratio = np.abs(np.fft.fft2(weigh_grain(noise, gains))) ** 2 / np.abs(np.fft.fft2(noise)) ** 2
        power = [ratio[(radius > 2.0 ** -(k + 2)) & (radius <= 2.0 ** -(k + 1))].mean() for k in range(4)]
        assert np.argmax(power) == octave
    spot = np.zeros((200, 200), np.float32)
    spot[100, 100] = 1.0
    assert (weigh_grain(spot, (3, 2, 1, 2))[:60] == 0).all()


def test_a_matched_nodule_is_the_drrs_own_as_strong_as_the_network_makes_it():
    drr, variant, _ = make_pair()
    settings = RestoreCxrSettings(steps=2, nodule_mode="matched")
    twin = restore_twin(drr, make_restorer(), settings, 0)
    shown, before = twin.restore_variant(variant) - twin.restored.image, variant - drr
    network = restore_twin(drr, make_restorer(), dataclasses.replace(settings, nodule_mode="restored"), 0)
    wanted = network.restore_variant(variant) - network.restored.image
    assert np.array_equal(shown[before == 0], np.zeros_like(shown[before == 0]))
    assert (shown * before > -1e-6).all(), "no dark ring"
    assert np.sum(shown * before) == pytest.approx(np.sum(wanted * before), rel=0.15)
