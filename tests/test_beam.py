"""The beam against the whole spectrum it stands for, published attenuation, and the laws of exponentials."""

import json

import numpy as np
import pytest

from drrx.radiograph.beam import TABLE, Beam
from drrx.radiograph.detector import DETECTED_QUANTA_PER_MM2_UGY
from drrx.radiograph.settings import ComposeDrrSettings

HARD = Beam.from_settings(ComposeDrrSettings())
MONO = Beam.from_settings(ComposeDrrSettings(beam="monoenergetic", mu_water_per_mm=0.02, bone_factor=1.3))
RECORD = json.loads(TABLE.read_text())
SPECTRUM = {key: np.array(values) for key, values in RECORD["spectrum"].items()}


def lengths(dtype):
    water, bone = np.meshgrid([0, 0.3, 1, 5, 20, 60, 100, 150, 200, 300, 450, 600], [0, 0.1, 1, 4, 10, 30, 60, 100])
    return water.astype(dtype), bone.astype(dtype)


def whole_spectrum(water_mm, bone_mm):
    depth = np.multiply.outer(SPECTRUM["mu_water_per_mm"], water_mm)
    depth += np.multiply.outer(SPECTRUM["mu_excess_per_mm"], bone_mm)
    return -np.log(np.tensordot(SPECTRUM["weight"] / SPECTRUM["weight"].sum(), np.exp(-depth), axes=1))


def slope(base, water_mm, bone_mm, step=0.01):
    """Attenuation per mm more of a base, by differences."""
    ends = [
        HARD.attenuate(np.array(water_mm + s * (base == "water")), np.array(bone_mm + s * (base == "bone")))
        for s in (-step, step)
    ]
    return float(ends[1] - ends[0]) / (2 * step)


def test_six_lines_stand_for_all_energies():
    water, bone = lengths(np.float64)
    np.testing.assert_allclose(HARD.attenuate(water, bone), whole_spectrum(water, bone), rtol=1e-4, atol=1e-6)


def test_float32_keeps_the_digits():
    water, bone = lengths(np.float32)
    single = HARD.attenuate(water, bone)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, HARD.attenuate(*lengths(np.float64)), rtol=2e-6, atol=1e-7)
    assert single[0, 0] == 0  # air is exactly nothing


@pytest.mark.parametrize(("water_mm", "published"), [(90, 0.0212), (150, 0.02055), (200, 0.02016)])
def test_water_hardens_the_beam_as_published(water_mm, published):
    assert slope("water", water_mm, 0) == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(("water_mm", "published"), [(90, 3.2), (150, 3.0), (200, 2.9)])
def test_cortical_bone_attenuates_as_published(water_mm, published):
    cortical = 1 + RECORD["bone"]["ct_number_hu"] / 1000 * slope("bone", water_mm, 0) / slope("water", water_mm, 0)
    assert cortical == pytest.approx(published, abs=0.05)


def test_bone_reads_its_hu_where_a_ct_works():
    # The excess attenuates like water at the effective energy of a CT beam (a 120 kVp scanner: 65 to 80 keV).
    where = np.interp(0, SPECTRUM["mu_water_per_mm"] - SPECTRUM["mu_excess_per_mm"], SPECTRUM["energy_kev"])
    assert 65 < where < 80


def test_table_is_of_the_beam_it_says():
    assert SPECTRUM["weight"].sum() == pytest.approx(1, abs=1e-4)
    assert sum(RECORD["lines"]["weight"]) == pytest.approx(1, abs=1e-8)
    assert SPECTRUM["energy_kev"].max() < RECORD["tube"]["kvp"]
    assert RECORD["tube"]["half_value_layer_al_mm"] == pytest.approx(4.6, abs=0.05)
    # NIST (Hubbell and Seltzer): mass attenuation of water at 60 and 100 keV is 0.2059 and 0.1707 cm2/g.
    at = np.interp([60, 100], SPECTRUM["energy_kev"], SPECTRUM["mu_water_per_mm"])
    np.testing.assert_allclose(at, [0.02059, 0.01707], rtol=5e-3)
    quanta = RECORD["quanta"]["photons_per_mm2_ugy"] * RECORD["quanta"]["absorbed"]
    assert quanta == pytest.approx(DETECTED_QUANTA_PER_MM2_UGY)


def test_more_of_anything_attenuates_more_and_ever_less_so():
    steps = np.linspace(0, 400, 401)
    for water, bone in ((steps, 0 * steps), (0 * steps, steps), (steps, 30 + 0 * steps)):
        rise = np.diff(HARD.attenuate(water, bone))
        assert rise.min() > 0
        assert (np.diff(rise) < 0).all()


def test_metal_and_long_paths_go_on_as_the_last_line():
    far = HARD.attenuate(np.array([3000, 3001], np.float32), np.array([5000, 5000], np.float32))
    assert np.isfinite(far).all()
    last = HARD.lines[-1]
    assert all(a.mu_water_per_mm > last.mu_water_per_mm for a in HARD.lines[:-1])
    assert all(a.mu_excess_per_mm > last.mu_excess_per_mm for a in HARD.lines[:-1])
    assert far[1] - far[0] == pytest.approx(last.mu_water_per_mm, rel=0.02)


def test_one_energy_is_linear():
    water, bone = lengths(np.float64)
    np.testing.assert_allclose(MONO.attenuate(water, bone), 0.02 * water + 0.026 * bone, rtol=1e-12)
