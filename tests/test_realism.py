import numpy as np
import pytest
import torch
from scipy import ndimage

from drrx.errors import DrrxError
from drrx.evaluate import realism
from drrx.evaluate.realism import Subject, code_as_film, cut_subject, measure_realism


def texture(seed, noise=0.0, size=128):
    rng = np.random.default_rng(seed)
    values = 0.5 + 0.6 * ndimage.gaussian_filter(rng.normal(size=(size, size)), 2)
    return np.clip(values + noise * rng.normal(size=values.shape), 0, 1).astype(np.float32)


def subjects(name, numbers, noise=0.0):
    mask = np.ones((128, 128), bool)
    return [cut_subject(texture(i, noise), f"{name}{i}", i % 2 == 1, mask, seed=i, side=32, limit=24) for i in numbers]


def test_two_halves_of_one_set_cannot_be_told_apart():
    report = measure_realism(subjects("a", range(24)), subjects("b", range(100, 124)), steps=60, resamples=100)
    for look in realism.LOOKS:
        assert abs(report[look]["auc"] - 0.5) < 0.12
        assert report[look]["low"] <= 0.5 + 0.05
        assert report[look]["high"] >= 0.5 - 0.05


def test_a_noisy_set_is_told_apart():
    report = measure_realism(subjects("a", range(12)), subjects("b", range(100, 112), 0.05), steps=60, resamples=100)
    for look in realism.LOOKS:
        assert report[look]["auc"] > 0.95
        assert report[look]["low"] > 0.9
        assert report[look]["auc_images"] == 1.0


def test_texture_is_blind_to_tone_and_shown_is_not():
    films, others = subjects("a", range(12)), subjects("b", range(100, 112))
    darker = [Subject(s.group, s.held_out, (0.6 * s.patches).astype(np.float32)) for s in others]
    report = measure_realism(films, darker, steps=60, resamples=100)
    assert report["shown"]["auc"] > 0.95
    assert report["texture"]["auc"] < 0.8


def test_same_seed_same_report_and_torch_is_left_alone():
    films, others = subjects("a", range(4)), subjects("b", range(10, 14))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = measure_realism(films, others, steps=5, resamples=100)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert measure_realism(films, others, steps=5, resamples=100) == first
    assert first["films_test_groups"] == first["films_train_groups"] == 2


def test_a_patient_on_both_sides_is_refused():
    films, others = subjects("a", range(4)), subjects("b", range(10, 14))
    films.append(Subject("a0", True, films[0].patches))
    with pytest.raises(DrrxError, match="realism test, films: found a0; needed groups to train on and other groups"):
        measure_realism(films, others, steps=1)


def test_an_empty_side_is_refused():
    films = subjects("a", range(4))
    with pytest.raises(DrrxError, match="realism test, others: found 2 groups to train, 0 to judge"):
        measure_realism(films, [s for s in subjects("b", range(10, 14)) if not s.held_out], steps=1)


def test_patches_are_centred_in_the_lung_field():
    mask = np.zeros((128, 128), bool)
    mask[40:60, 70:90] = True
    rows, columns = np.mgrid[:128, :128]
    for axis, places in ((0, rows), (1, columns)):
        patches = cut_subject((places / 128).astype(np.float32), "a", False, mask, side=32, limit=9).patches
        middles = patches[:, 16, 16] * 128
        low, high = ((40, 60), (70, 90))[axis]
        assert patches.shape == (9, 32, 32)
        assert middles.min() >= low
        assert middles.max() < high


def test_no_place_in_the_lung_is_an_error():
    with pytest.raises(DrrxError, match="patches of a: found no place for 64 px in the lung field"):
        cut_subject(texture(0), "a", False, np.zeros((128, 128), bool))


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 6, 40).astype(float), rng.integers(2, 9, 30).astype(float)
    pairs = (fake[:, None] > real[None]) + 0.5 * (fake[:, None] == real[None])
    assert realism._auc(real, fake) == pytest.approx(pairs.mean(), abs=1e-4)


def test_the_interval_is_over_patients():
    # Two patches a patient and patients of one answer each: redrawing patches would give a far narrower interval.
    answers = [(f"p{i}", np.full(50, float(i % 3))) for i in range(6)]
    others = [(f"c{i}", np.full(50, float(i % 3) + 0.5)) for i in range(6)]
    low, high = realism._interval(answers, others, 0, 400)
    assert high - low > 0.4


def test_coding_keeps_an_image_within_its_grey_steps():
    image = texture(1)
    coded = code_as_film(image)
    assert coded.shape == image.shape
    assert np.abs(coded - image).max() < 0.05
    np.testing.assert_allclose(coded * 255, np.round(coded * 255), atol=1e-3)
