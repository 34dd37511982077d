import numpy as np
import pytest
from scipy import ndimage

from drrx.errors import DrrxError
from drrx.evaluate.restorer import METHODS, evaluate_restorer, to_markdown
from drrx.evaluate.scores import bootstrap_mean, score_image
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.degrade import KINDS
from drrx.pairs.films import read_films
from tests.films import make_film, write_films
from tests.restorers import make_restorer


def test_psnr_is_its_formula_inside_the_border():
    film = make_film(0)
    image = film + np.float32(0.1)
    image[:16] = 0  # outside the score
    assert score_image(image, film, 16).psnr_db == pytest.approx(20.0, abs=1e-3)


def test_ssim_is_the_paper_formula():
    # Wang et al. 2004, equation 13, written out.
    film, image = make_film(1).astype(np.float64), make_film(2).astype(np.float64)

    def mean(x):
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5)

    mx, my = mean(film), mean(image)
    vx, vy, vxy = mean(film**2) - mx**2, mean(image**2) - my**2, mean(film * image) - mx * my
    ssim = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    found = score_image(image.astype(np.float32), film.astype(np.float32), 16).ssim
    assert found == pytest.approx(ssim[16:-16, 16:-16].mean(), abs=1e-4)


def test_detail_power_of_a_blurred_image_is_below_and_of_itself_zero():
    film = make_film(3)
    assert score_image(film, film, 16).detail_db == pytest.approx(0.0, abs=1e-6)
    assert score_image(ndimage.gaussian_filter(film, 3), film, 16).detail_db < -3


def test_interval_is_over_patients():
    mean, low, high = bootstrap_mean([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"], 2000)
    assert (mean, low, high) == (2.0, 1.0, 3.0)
    mean, low, high = bootstrap_mean([2.0] * 5, list("abcde"), 200)
    assert mean == low == high == 2.0


def test_report_has_every_kind_and_method(tmp_path):
    rows = read_films(write_films(tmp_path / "x", 8))
    settings = EvaluateRestorerSettings(max_films=2, steps=2, resamples=100)
    report = evaluate_restorer(rows, "train", make_restorer(), settings)
    assert set(report["scores"]) == set(KINDS)
    assert all(set(methods) == set(METHODS) for methods in report["scores"].values())
    table = to_markdown(report)
    assert table.count("\n| ") == 1 + 1 + len(KINDS) * len(METHODS) + 2 + 4
    assert set(report["nodules"]) == {"gain_film", "gain_input", "correlation", "leakage"}
    assert evaluate_restorer(rows, "train", make_restorer(), settings) == report


def test_an_empty_split_is_an_error():
    with pytest.raises(DrrxError, match="found no film in split test"):
        evaluate_restorer((), "test", make_restorer(), EvaluateRestorerSettings())
