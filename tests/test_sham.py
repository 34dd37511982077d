"""A sham: the place and the processing of a nodule, and next to nothing of it in the image."""

from math import pi, sqrt

import numpy as np
import pytest

from drrx.nodule.sample import sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.sham import make_sham
from drrx.records.nodule import Nodule
from drrx.records.patch import NodulePatch
from tests.thorax import make_labels, make_thorax


@pytest.fixture(scope="module")
def pair():
    thorax = make_thorax((2.5, 2.0, 2.0), noise_hu=30.0)
    settings = SampleNodulesSettings(kind="solid", diameter_min_mm=14, diameter_max_mm=16)
    sample = sample_nodules(thorax.ct, make_labels(thorax), settings, 5)
    return sample.nodules[0], sample.patches[0]


def test_a_sham_keeps_place_grid_and_occupancy(pair):
    nodule, patch = pair
    record, sham = make_sham(nodule, patch)
    assert (record.nodule_id, record.center_world_mm, record.shape) == (
        nodule.nodule_id, nodule.center_world_mm, nodule.shape
    )  # fmt: skip
    for name in ("occupancy", "hu_before", "world_from_index"):
        np.testing.assert_array_equal(getattr(sham, name), getattr(patch, name))
    assert Nodule.from_json(record.to_json()) == record


def test_all_its_targets_are_the_lung_around(pair):
    record, _ = make_sham(*pair)
    targets = [record.hu_body, record.hu_inclusion, record.hu_halo, record.hu_cavity]
    assert {target for target in targets if target is not None} == {pair[0].measures.hu_lung_local}


def test_it_adds_nothing_outside_lifts_only_dark_voxels_and_stays_below_the_lung_around(pair):
    nodule, patch = pair
    _, sham = make_sham(nodule, patch)
    lung = nodule.measures.hu_lung_local
    assert not sham.delta_hu[patch.occupancy == 0].any()
    assert not sham.delta_hu[patch.hu_before >= lung].any()
    assert (sham.delta_hu >= 0).all()
    assert (sham.hu_after <= np.maximum(patch.hu_before, lung) + 0.01).all()


def test_it_is_fifty_times_weaker_than_the_nodule(pair):
    nodule, patch = pair
    record, sham = make_sham(nodule, patch)
    ratio = sham.delta_hu.sum() / patch.delta_hu.sum()
    assert 0 < ratio < 0.02
    assert record.measures.delta_hu_ratio == pytest.approx(ratio * nodule.measures.delta_hu_ratio)
    assert record.measures.peak_log_signal < 0.03 * nodule.measures.peak_log_signal


def test_in_noise_it_lifts_by_the_half_normal_mean_and_in_even_lung_not_at_all(pair):
    noise = np.random.default_rng(0).normal(0, 40, (40, 40, 40)).astype(np.float32)
    nodule, full = pair[0], np.ones(noise.shape, np.float32)
    lung = np.float32(nodule.measures.hu_lung_local)

    def lift(before):
        patch = NodulePatch(full, before, before + 800, pair[1].world_from_index)
        return float(make_sham(nodule, patch)[1].delta_hu.mean())

    # E max(0, -x) of a normal x is sd / sqrt(2 pi).
    assert lift(lung + noise) == pytest.approx(40 / sqrt(2 * pi), rel=0.02)
    assert lift(np.full_like(noise, lung)) == 0
