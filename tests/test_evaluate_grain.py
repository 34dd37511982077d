import numpy as np
import pytest
from scipy import ndimage

from drrx.evaluate.grain import fit_grain
from drrx.evaluate.noise import OCTAVE_NAMES, NoiseNorm, measure_octaves
from drrx.restorer.grain import weigh_grain


def make_noise(seed, shape=(256, 256)):
    noise = np.random.default_rng(seed).normal(size=shape)
    return (0.01 * noise + 0.05 * ndimage.gaussian_filter(noise, 3)).astype(np.float32)


def test_gains_that_were_put_in_are_found_again_and_bring_the_films_noise():
    masks = [np.ones((256, 256), bool)] * 3
    means = [0.5 + 0.3 * ndimage.gaussian_filter(make_noise(10 + seed), 4) for seed in range(3)]
    grains = [make_noise(seed) for seed in range(3)]
    truth = (1.6, 0.7, 0.9, 0.8)
    films = [
        measure_octaves(mean + weigh_grain(grain, truth), mask)
        for mean, grain, mask in zip(means, grains, masks, strict=True)
    ]
    norm = NoiseNorm(np.median(films, axis=0), np.max(films, axis=0))
    fit = fit_grain(means, [mean + grain for mean, grain in zip(means, grains, strict=True)], norm, masks)
    assert fit["grain"] == pytest.approx(truth, abs=0.1)
    for name in OCTAVE_NAMES:
        assert abs(fit["octaves"][name]["fit_db"]) < 0.2
        assert fit["octaves"][name]["mean_db"] < -4
    weighed = [mean + weigh_grain(grain, fit["grain"]) for mean, grain in zip(means, grains, strict=True)]
    again = np.median([measure_octaves(image, mask) for image, mask in zip(weighed, masks, strict=True)], axis=0)
    stated = [fit["octaves"][name]["fit_db"] for name in OCTAVE_NAMES]
    assert again - norm.median_db == pytest.approx(stated, abs=0.02), "the quadratic form is the power itself"
