import argparse
import csv
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from drrx.cli import train_ddpm_lq as command
from drrx.degrader.ddpm_lq import DELIVERED, DdpmLq, load_ddpm_lq
from drrx.degrader.model import load_degrader
from drrx.diffusion.conditional import ConditionalSampler
from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.schedule import make_alphas
from drrx.diffusion.weights import read_weights, write_weights
from drrx.errors import DrrxError
from drrx.pairs.domain import read_drrs
from drrx.pairs.structure import StructureMap, ToneCurve, disguise, equalise
from drrx.train import ddpm_lq
from drrx.train.ddpm_lq_domain import FLAT, draw_batch, load_domain
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings
from tests.films import make_film, write_films

TINY = {"batch_size": 4, "crop_px": 64, "widths": (8, 16), "blocks": (1, 1), "embedding": 16, "refine": 2} | {
    "scale_crops": 8, "learning_rate": 3e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six hazy DRRs of three cases, stored with a display window of 0.1 to 0.8."""
    folder = tmp_path_factory.mktemp("drrs")
    for i in range(6):
        path = folder / "cases" / f"c{i // 2}" / "twin" / f"pa_{i}" / "drr.png"
        path.parent.mkdir(parents=True)
        drr = 0.1 + 0.7 * ndimage.gaussian_filter(make_film(i, 256, 256), 1.5)
        Image.fromarray((drr * 65535).astype(np.uint16)).save(path)
    return folder


@pytest.fixture(scope="module")
def domain(folder):
    return load_domain(read_drrs([str(folder)]), TrainDdpmLqSettings(**TINY))


def band(image, fine=2.0, coarse=8.0):
    return ndimage.gaussian_filter(image, fine) - ndimage.gaussian_filter(image, coarse)


def correlate(first, second):
    return np.corrcoef(band(first)[16:-16, 16:-16].ravel(), band(second)[16:-16, 16:-16].ravel())[0, 1]


def measure_shift(first, second):
    """Sub-pixel shift by the phase of the cross-spectrum of two band-passed images, weighted by its strength."""
    taper = np.outer(np.hanning(first.shape[0]), np.hanning(first.shape[1]))
    cross = np.fft.fft2(band(first) * taper) * np.conj(np.fft.fft2(band(second) * taper))
    rows, columns = np.meshgrid(*(np.fft.fftfreq(n) for n in first.shape), indexing="ij")
    near = (np.hypot(rows, columns) < 0.12) & (np.hypot(rows, columns) > 0.02)
    weight = np.sqrt(np.abs(cross[near]))
    design = -2 * np.pi * np.stack([rows[near], columns[near]], axis=1) * weight[:, None]
    return np.linalg.lstsq(design, np.angle(cross[near]) * weight, rcond=None)[0]


def test_the_shift_measure_finds_a_known_shift():
    film = make_film(0)
    moved = ndimage.shift(film, (0.4, -0.7), order=3, mode="nearest")
    np.testing.assert_allclose(measure_shift(moved, film), (0.4, -0.7), atol=0.05)


def test_ranks_are_uniform_and_know_no_monotone_curve():
    image = np.random.default_rng(0).random((64, 66), dtype=np.float32) ** 2
    ranks = equalise(image)
    np.testing.assert_allclose(np.sort(ranks.ravel()), np.linspace(0, 1, ranks.size), atol=0.03)
    for curve in (np.sqrt, np.exp, lambda x: 3 * x - 8):
        np.testing.assert_allclose(equalise(curve(image)), ranks, atol=0.01)


def test_the_map_is_the_same_for_other_units_and_nearly_so_for_other_tone_curves():
    film, how = make_film(0), StructureMap()
    structure = how.make(film)
    np.testing.assert_allclose(how.make(0.3 + 0.2 * film), structure, atol=0.02)
    for curve in (lambda x: x**0.6, lambda x: x**1.7, lambda x: np.tanh(3 * x)):
        bent = how.make(curve(film).astype(np.float32))
        assert np.abs(bent - structure).mean() < 0.05 * structure.std()
        assert np.corrcoef(bent.ravel(), structure.ravel())[0, 1] > 0.99


def test_the_map_hides_fine_noise_and_local_gain_but_keeps_structure():
    film, how, rng = make_film(0), StructureMap(), np.random.default_rng(0)
    structure = how.make(film)
    noisy = how.make(film + 0.01 * rng.standard_normal(film.shape, dtype=np.float32))
    assert correlate(noisy, structure) > 0.98
    base = ndimage.gaussian_filter(film, 20)
    stronger = how.make(base + 1.6 * (film - base))
    assert correlate(stronger, structure) > 0.95
    # The detail grew by 1.6 in the image, and by far less in the map.
    assert 0.9 < band(stronger).std() / band(structure).std() < 1.25
    assert band(base + 1.6 * (film - base)).std() / band(film).std() > 1.5


def test_without_tones_the_map_is_a_band_pass_of_mean_zero():
    structure = StructureMap(tone=0.0).make(make_film(0))
    assert np.abs(ndimage.gaussian_filter(structure, 16)).max() < 0.15 < structure.std() * 2
    assert abs(structure.mean()) < 0.02


def test_a_nodule_changes_the_map_where_it_is():
    film, how = make_film(0), StructureMap()
    rows, columns = np.mgrid[: film.shape[0], : film.shape[1]]
    distance = np.hypot(rows - 150, columns - 90)
    change = how.make(film + 0.08 * np.exp(-((distance / 6) ** 2)).astype(np.float32)) - how.make(film)
    assert change[distance < 4].mean() > 0.1
    assert np.abs(change[distance > 40]).max() < 0.1 * change.max()


def test_a_disguise_moves_nothing_and_differs_by_draw():
    drr, shifts = ndimage.gaussian_filter(make_film(1), 1.5), []
    for seed in range(6):
        other = disguise(drr, np.random.default_rng(seed))
        shifts.append(measure_shift(other, drr))
        assert np.abs(other - drr).mean() > 0.01
        assert correlate(StructureMap().make(other), StructureMap().make(drr)) > 0.6
    assert np.abs(shifts).max() < 0.3
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.1)


def test_a_batch_comes_from_its_number_and_crops_keep_the_ranks_of_the_whole(domain):
    settings = TrainDdpmLqSettings(**(TINY | {"batch_size": 32}))
    images, maps = draw_batch(domain, 3, settings)
    again = draw_batch(domain, 3, settings)
    assert torch.equal(images, again[0])
    assert torch.equal(maps, again[1])
    assert not torch.equal(images, draw_batch(domain, 4, settings)[0])
    assert images.shape == maps.shape == (32, 1, 64, 64)
    # Ranks taken in the crop itself would have mean 0 in each.
    assert maps.mean(dim=(1, 2, 3)).std() > 0.1


def test_crops_are_drrs_less_what_the_tones_of_their_maps_foretell(domain):
    settings = TrainDdpmLqSettings(**(TINY | {"batch_size": 32}))
    images, maps = draw_batch(domain, 0, settings)
    plain, same = draw_batch(dataclasses.replace(domain, curve=FLAT), 0, settings)
    assert torch.equal(maps, same)
    assert plain.abs().max() <= 1
    assert torch.corrcoef(torch.stack([plain.flatten(), maps.flatten()]))[0, 1] > 0.6
    assert images.square().mean() < 0.4 * plain.square().mean()
    foretold = ToneCurve.fit([np.full((40, 40), 0.3)], [np.full((40, 40), 0.5)]).apply(np.full((40, 40), -0.2))
    np.testing.assert_allclose(foretold, 0.3, atol=1e-6)


def test_display_windows_are_those_of_the_drrs(domain):
    lows, highs = np.array(domain.windows).T
    assert (lows > 0.1).all()
    assert (highs < 0.8).all()
    assert (highs - lows > 0.3).all()


class Stopped(Exception):
    pass


def stop(text):
    if text.startswith("step 2"):
        raise Stopped


def test_a_resumed_run_is_the_uninterrupted_one(domain, tmp_path, monkeypatch):
    monkeypatch.setattr(ddpm_lq, "REPORT_STEPS", 1)
    settings = TrainDdpmLqSettings(steps=4, save_minutes=1e-9, **TINY)
    whole = ddpm_lq.train_ddpm_lq(domain, tmp_path / "a", settings)
    with pytest.raises(Stopped):
        ddpm_lq.train_ddpm_lq(domain, tmp_path / "b", settings, progress=stop)
    resumed = ddpm_lq.train_ddpm_lq(domain, tmp_path / "b", settings)
    assert resumed.step == whole.step == 4
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name
    for run in "ab":
        with (tmp_path / run / "losses.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
        assert float(rows[0]["loss"]) > 0


def test_a_batch_can_be_learned(domain, tmp_path):
    settings = TrainDdpmLqSettings(steps=1, **TINY)
    state = ddpm_lq.train_ddpm_lq(domain, tmp_path, settings)
    images, maps = draw_batch(domain, 0, settings)
    alphas, scale = make_alphas(settings.snr_shift).float(), ResidualScale(state.deviations)
    for group in state.optimizer.param_groups:
        group["lr"] = 3e-3
    losses = []
    for _ in range(100):
        state.step = 1  # the same time steps and noise again and again
        losses.append(ddpm_lq.train_step(state, images, maps, alphas, scale, settings)[0].item())
    assert np.mean(losses[-5:]) < 0.25 * np.mean(losses[:5])


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Weights of a tiny model by the command: a second or two of training, which is enough to copy structure."""
    place = tmp_path_factory.mktemp("trained")
    index = write_films(tmp_path_factory.mktemp("films") / "x")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if not isinstance(value, tuple)]
    options += ["--widths", "8", "16", "--blocks", "1", "1", "--steps", "120", "--ema-decay", "0.9"]
    options += ["--drrs", str(folder), "--exclude", "c2", "--images", str(index)]
    command.run(
        parser.parse_args([*options, "--output", str(place / "lq.safetensors"), "--run-folder", str(place / "run")])
    )
    return place


def test_the_command_writes_weights_a_figure_and_what_it_did(trained):
    config = read_weights(trained / "lq.safetensors", "ddpm_lq").config
    assert config["training"]["cases"] == {"c0": 0.5, "c1": 0.5}
    assert config["training"]["steps"] == 120
    assert len(config["windows"]) == 64
    assert config["structure"]["tone"] == 1.0
    with Image.open(trained / "run" / "samples.png") as figure:
        assert min(figure.size) > 200


def test_a_copy_is_reproducible_of_any_size_and_shown_in_the_window_of_a_drr(trained):
    model = load_ddpm_lq(trained / "lq.safetensors")
    film = make_film(7, 301, 278)
    copy = model.degrade(film, 1)
    assert copy.shape == film.shape
    assert copy.dtype == np.float32
    assert np.array_equal(copy, model.degrade(film, 1))
    assert not np.array_equal(copy, model.degrade(film, 2))
    half = ndimage.zoom(film, (151 / 301, 139 / 278), order=1)
    drawn, window = model.draw(half, 1), (0.2, 0.6)
    shown = dataclasses.replace(model, windows=(window,)).degrade(film, 1)
    assert np.corrcoef(ndimage.zoom(shown, (151 / 301, 139 / 278), order=1).ravel(), drawn.ravel())[0, 1] > 0.95
    assert abs(np.median(shown) - (0.2 + 0.4 * np.median(drawn))) < 0.02


def exact(scale):
    """Return a network whose v is exact for the image that its condition is."""

    def network(noisy, condition, t):
        alpha = make_alphas(2.0)[t].float()[:, None, None, None]
        clean = scale.scale(condition)
        noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

    return network


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_an_exact_network_gives_back_its_image(alpha):
    image = torch.from_numpy(make_film(3, 90, 71))[None, None] * 2 - 1
    scale = ResidualScale([0.5] + [0.05] * 15)
    sampler = ConditionalSampler(exact(scale), scale, 2.0, torch.device("cpu"))
    torch.testing.assert_close(sampler.draw(image, 0, 4, alpha), image, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(400, 380), (301, 278), (333, 420)])
def test_shrinking_mapping_drawing_and_enlarging_keep_positions(shape):
    """A network that draws the map itself: then the copy lies where the film lies."""
    scale = ResidualScale([0.5] + [0.05] * 15)
    sampler = ConditionalSampler(exact(scale), scale, 2.0, torch.device("cpu"))
    model = DdpmLq(sampler, StructureMap(), FLAT, ((0.0, 1.0),), 4, 0.5, "")
    rng = np.random.default_rng(0)
    film = np.clip(0.5 + 2.0 * ndimage.gaussian_filter(rng.normal(size=shape), 4), 0, 1).astype(np.float32)
    copy = model.degrade(film, 1)
    np.testing.assert_allclose(measure_shift(copy, film), 0, atol=0.15)
    # The same map made of the full film: what is left is the way down to half resolution and up again.
    whole = StructureMap(fine_px=2.0, coarse_px=16.0, window_px=96.0).make(film)
    np.testing.assert_allclose(measure_shift(copy, whole), 0, atol=0.03)


def test_a_nodule_shows_in_the_copy_and_nowhere_else(trained):
    model = load_ddpm_lq(trained / "lq.safetensors")
    film = make_film(8, 400, 380)
    rows, columns = np.mgrid[:400, :380]
    distance = np.hypot(rows - 200, columns - 130)
    nodule = (0.1 * np.exp(-((distance / 10) ** 2))).astype(np.float32)
    change = model.degrade(film + nodule, 5) - model.degrade(film, 5)
    assert 0.02 < change[distance < 5].mean() < 0.2
    assert np.abs(change[distance > 60]).max() < 0.15 * change.max()


def test_weights_of_another_kind_or_network_are_refused(trained, tmp_path):
    weights = read_weights(trained / "lq.safetensors", "ddpm_lq")
    write_weights(tmp_path / "a.safetensors", weights.tensors, weights.config | {"kind": "ddpm_hq"})
    with pytest.raises(DrrxError, match=r"weights of kind 'ddpm_hq' \(MODEL_KIND\); needed kind 'ddpm_lq'"):
        load_ddpm_lq(tmp_path / "a.safetensors")
    other = weights.config["network"] | {"widths": [8, 8]}
    write_weights(tmp_path / "b.safetensors", weights.tensors, weights.config | {"network": other})
    with pytest.raises(DrrxError, match=r"another network .*needed the layers of this version"):
        load_ddpm_lq(tmp_path / "b.safetensors")


@pytest.mark.skipif(not DELIVERED.is_file(), reason="no delivered weights")
def test_delivered_weights_keep_things_in_place():
    model = load_degrader("ddpm_lq")
    assert isinstance(model, DdpmLq)
    assert len(model.sha256) == 64
    film = make_film(9, 512, 480)
    copy = model.degrade(film, 0)
    assert np.abs(measure_shift(copy, film)).max() < 0.3
    assert correlate(copy, film) > 0.5
