import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.metrics import structural_similarity

from drrx.evaluate.interval import bootstrap_mean, find_p_value
from drrx.evaluate.scores import Scorer, to_psnr
from drrx.evaluate.similarity import C1, C2, WEIGHTS, Similarity
from drrx.evaluate.smooth import make_window, smooth
from tests.films import make_film


def make_board(amplitude, cell=1, size=320):
    rows, columns = np.mgrid[:size, :size] // cell
    return (0.5 + amplitude * (-1.0) ** (rows + columns)).astype(np.float32)


def test_psnr_is_its_formula_inside_the_border():
    film = make_film(0)
    image = film + np.float32(0.1)
    image[:16] = 0  # outside the score
    assert Scorer(film, 16).score(image).psnr_db == pytest.approx(20.0, abs=1e-3)
    assert to_psnr(0.0) == 120.0


def test_a_linear_change_of_tone_costs_psnr_but_no_affine_fit():
    film = make_film(0).astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 0.01, film.shape)
    scorer = Scorer(film.astype(np.float32), 16)
    plain, toned = (scorer.score(image.astype(np.float32)) for image in (film + noise, 0.2 + 0.5 * (film + noise)))
    assert toned.affine_psnr_db == pytest.approx(plain.affine_psnr_db, abs=1e-3)
    assert toned.psnr_db < 25 < plain.psnr_db
    fit = np.polyfit((film + noise)[16:-16, 16:-16].ravel(), film[16:-16, 16:-16].ravel(), 1)
    left = np.polyval(fit, film + noise) - film
    assert plain.affine_psnr_db == pytest.approx(-10 * np.log10(np.mean(left[16:-16, 16:-16] ** 2)), abs=1e-3)


def test_smooth_is_scipys_gaussian_where_the_window_fits():
    image = make_film(3)
    expected = ndimage.gaussian_filter(image.astype(np.float64), 1.5, truncate=5 / 1.5)[5:-5, 5:-5]
    assert np.abs(smooth(image, make_window(1.5, 5)) - expected).max() < 1e-6


def test_ssim_is_scikit_images():
    film, image = make_film(1), make_film(2)
    _, map_ = structural_similarity(
        image, film, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert Similarity(film, 16).measure(image)[0] == pytest.approx(map_[16:-16, 16:-16].mean(), abs=1e-5)


def test_both_similarities_of_an_image_with_itself_are_one():
    film = make_film(1)
    assert Similarity(film, 16).measure(film) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_ms_ssim_counts_luminance_at_the_coarsest_scale_only():
    # Flat images differ in luminance alone: contrast terms are 1 at all scales.
    film, image = np.full((320, 320), 0.2, np.float32), np.full((320, 320), 0.7, np.float32)
    luminance = (2 * 0.2 * 0.7 + C1) / (0.2**2 + 0.7**2 + C1)
    assert Similarity(film, 16).measure(image) == pytest.approx((luminance, luminance ** WEIGHTS[4]), rel=1e-4)


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_ms_ssim_weighs_a_pattern_by_the_weight_of_its_scale(scale):
    # A board of cells of 2^s px has gone at scale s + 1. Before, the window sees its variance and hardly its mean.
    low, high = 0.05, 0.2
    product = 1.0
    for level in range(scale + 1):
        film, image = (make_board(a, 2 ** (scale - level), 320 >> level).astype(np.float64) for a in (low, high))
        blur = [
            ndimage.gaussian_filter(x, 1.5, truncate=5 / 1.5) for x in (film, image, film**2, image**2, film * image)
        ]
        contrast = (2 * (blur[4] - blur[0] * blur[1]) + C2) / (blur[2] - blur[0] ** 2 + blur[3] - blur[1] ** 2 + C2)
        product *= contrast[16:-16, 16:-16].mean() ** WEIGHTS[level]
    found = Similarity(make_board(low, 2**scale), 16).measure(make_board(high, 2**scale))[1]
    assert found == pytest.approx(product, rel=2e-3)
    if scale == 0:
        assert found == pytest.approx(((2 * low * high + C2) / (low**2 + high**2 + C2)) ** WEIGHTS[0], rel=1e-3)


def test_ms_ssim_of_a_negative_is_zero_and_weights_sum_to_one():
    film = make_film(1)
    assert Similarity(film, 16).measure(1 - film)[1] == 0.0
    assert sum(WEIGHTS) == pytest.approx(1.0, abs=1e-3)


def test_detail_power_of_a_blurred_image_is_below_and_of_itself_zero():
    film = make_film(3)
    scorer = Scorer(film, 16)
    assert scorer.score(film).detail_db == pytest.approx(0.0, abs=1e-6)
    assert scorer.score(ndimage.gaussian_filter(film, 3)).detail_db < -3
    assert scorer.score(0.5 + 2 * (film - 0.5)).detail_db == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_interval_is_over_patients():
    mean, low, high = bootstrap_mean([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"], 2000)
    assert (mean, low, high) == (2.0, 1.0, 3.0)
    assert bootstrap_mean([2.0] * 5, list("abcde"), 200) == (2.0, 2.0, 2.0)
    # 95 % of the means of n draws lie within 1.96 deviations over the root of n.
    values = np.random.default_rng(0).normal(5, 1, 400)
    _, low, high = bootstrap_mean(list(values), [str(i) for i in range(400)], 4000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_p_value_is_over_patients():
    # One patient's films count once: five of one sign among six patients give 2 (1 + 1) / 2^6 if the odd one is least.
    differences, patients = [-0.1, -0.1, 1.0, 2.0, 3.0, 4.0, 5.0], list("aabcdef")
    assert find_p_value(differences, patients) == pytest.approx(2 * 2 / 2**6)
    assert find_p_value([0.0, 0.0], ["a", "b"]) == 1.0
    many = np.random.default_rng(1).normal(0.2, 1, 60)
    assert find_p_value(list(many), [str(i) for i in range(60)]) == pytest.approx(stats.wilcoxon(many).pvalue)
