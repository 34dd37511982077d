import dataclasses

import numpy as np
import pytest
import torch

from drrx.errors import DrrxError
from drrx.pairs.crops import draw_blobs, draw_crop
from drrx.pairs.degrade import KINDS, Degradation, add_noise, apply_tone, degrade, draw_degradation, filter_bands
from drrx.pairs.films import load_film, measure_noise, read_films, split_of, stack_film
from drrx.pairs.window import Window, measure_window
from drrx.seeds import make_rng
from tests.films import make_film, write_films


def test_window_inverts_and_is_idempotent():
    values = 0.3 + 0.2 * make_film(0)
    window = measure_window(values)
    windowed = window.apply(values)
    assert np.allclose(window.invert(windowed), values, atol=1e-6)
    again = measure_window(windowed)
    assert (again.low, again.high) == pytest.approx((0.0, 1.0), abs=1e-5)


def test_a_flat_image_has_a_window():
    assert np.isfinite(measure_window(np.full((64, 64), 0.5, np.float32)).apply(np.full((64, 64), 0.5))).all()


def test_a_good_range_is_kept_and_a_hazed_one_opened():
    assert Window(0.04, 0.9).opened() == Window(0.04, 0.9)
    assert Window(0.3, 0.6).opened() == Window(0.0, 1.0)
    half = Window(0.10, 0.775).opened()
    assert (half.low, half.high) == pytest.approx((0.05, 0.8875))


def test_index_leaves_out_non_commercial_and_flat_films(tmp_path):
    rows = read_films(write_films(tmp_path / "x"))
    assert [row.patient for row in rows] == [f"p{i}" for i in range(2, 12)]
    film = load_film(rows[0])
    assert film.shape == (300, 280)
    assert film.min() == 0
    assert film.max() == 1


def test_splits_are_by_patient_and_near_their_shares():
    splits = [split_of(f"patient {i}") for i in range(4000)]
    assert split_of("patient 7") == splits[7]
    shares = [splits.count(name) / 4000 for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.8, 0.08, 0.12], abs=0.02)


def test_index_errors_say_what_to_do(tmp_path):
    with pytest.raises(DrrxError, match=r"none.csv: found .*; needed a CSV table of radiographs"):
        read_films(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("file\nx.png\n")
    with pytest.raises(DrrxError, match="found no column patient; needed columns file and patient"):
        read_films(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("file,patient\nx.png,1\n")
    with pytest.raises(DrrxError, match=r"file x.png: found no such file"):
        read_films(tmp_path / "b.csv")


def test_no_blur_and_unit_gains_change_nothing():
    stack = stack_film(make_film(1)).float()
    assert torch.allclose(filter_bands(stack, Degradation(kind="physics")), stack[0], atol=1e-5)


def test_blur_is_the_gaussian_it_says():
    # A line through a Gaussian of sigma 2 px has a peak of 1 / (2 sqrt(2 pi)).
    stack = torch.zeros(3, 128, 128)
    stack[0, :, 64] = 1.0
    line = filter_bands(stack, Degradation(kind="physics", sigma_x_px=2.0, band_px=200.0))[64]
    expected = torch.exp(-((torch.arange(128) - 64.0) ** 2) / 8) / (2 * (2 * torch.pi) ** 0.5)
    assert torch.allclose(line, expected, atol=2e-3)


def test_faint_detail_gets_fainter_and_strong_detail_stays():
    how = Degradation(kind="physics", faint=0.3, knee=0.04, band_px=16.0)
    wave = torch.sin(torch.arange(128) * torch.pi / 4)[None].repeat(128, 1)
    gain = {}
    for size in (0.004, 0.4):
        out = filter_bands(torch.stack([0.5 + size * wave, *torch.full((2, 128, 128), 0.5)]), how)
        gain[size] = float((out - 0.5)[48:80, 48:80].std() / (size * wave[48:80, 48:80]).std())
    assert gain[0.004] == pytest.approx(0.3, abs=0.03)
    assert gain[0.4] > 0.95


def test_noise_has_the_level_it_says():
    how = Degradation(kind="physics", white_noise=0.006, contrast=0.5, noise_seed=3)
    assert float(add_noise(torch.full((256, 256), 0.5), how).std()) == pytest.approx(0.003, rel=0.03)
    how = dataclasses.replace(how, white_noise=0.0, correlated_noise=0.006, noise_sigma_px=2.0)
    assert float(add_noise(torch.full((512, 512), 0.5), how).std()) == pytest.approx(0.003, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_every_degradation_stays_in_range_and_is_replayed_from_its_numbers(kind):
    stack = stack_film(make_film(2))
    for seed in range(6):
        how = draw_degradation(make_rng(seed), kind)
        worse = degrade(stack, how)
        assert worse.min() >= 0
        assert worse.max() <= 1
        assert torch.equal(worse, degrade(stack, Degradation(**dataclasses.asdict(how))))


def test_tone_curves_rise():
    ramp = torch.linspace(0, 1, 50)
    for seed in range(10):
        assert (apply_tone(ramp, draw_degradation(make_rng(seed), "physics")).diff() > 0).all()


def test_blobs_have_the_size_and_contrast_they_should():
    for seed in range(5):
        blobs, mask = draw_blobs(304, make_rng(seed))
        assert 0.005 < blobs.max() < 0.25
        assert blobs[mask == 0].max() < 0.35 * blobs.max()
        assert 0 < mask.mean() < 0.2


def test_a_crop_depends_on_its_generator_alone_and_has_its_window():
    stack = stack_film(make_film(3, 400, 380))
    first, second = (draw_crop(stack, make_rng(5), 256, 1.0, "physics") for _ in range(2))
    assert torch.equal(first.degraded, second.degraded)
    assert first.clean.shape == first.degraded.shape == first.mask.shape == (256, 256)
    assert first.mask.max() == 1
    means = [float(draw_crop(stack, make_rng(i), 256, 0.0, "physics").degraded.mean()) for i in range(20)]
    assert 0.2 < np.mean(means) < 0.8


def test_noise_measure_orders_films():
    film = make_film(4)
    noisy = film + 0.02 * np.random.default_rng(0).normal(size=film.shape).astype(np.float32)
    assert measure_noise(noisy) > 2 * measure_noise(film)
    assert measure_noise(np.full((64, 64), 0.5, np.float32) + (noisy - film)[:64, :64]) == pytest.approx(0.02, rel=0.1)
