import argparse
import csv

import numpy as np
import pytest
import torch
from torch.nn import functional

from drrx.cli import train_munit_lq as command
from drrx.degrader.munit_lq import MunitLq, bend, load_munit_lq
from drrx.diffusion.weights import write_weights
from drrx.errors import DrrxError
from drrx.io.image import write_image
from drrx.nets.munit import Moments, Translator, from_bands, to_bands
from drrx.pairs.domain import read_drrs
from drrx.pairs.films import read_films
from drrx.train import munit_lq
from drrx.train.munit_crops import Images, draw_crop
from drrx.train.munit_data import load_data
from drrx.train.munit_loss import Codes, Domain, critic_loss, draw_styles, structure_loss, translate_losses
from drrx.train.munit_settings import TrainMunitLqSettings
from drrx.train.munit_state import make_state
from tests.films import write_films

TINY = {"crop_px": 32, "width": 4, "blocks": 1, "critic_width": 4, "hidden": 16, "refine": 2, "bank_size": 3}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return read_films(write_films(tmp_path_factory.mktemp("films") / "x"))


@pytest.fixture(scope="module")
def drrs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("drrs"), np.random.default_rng(1)
    for case in ("a", "b"):
        for view in ("pa", "pa_1"):
            fog = torch.from_numpy(rng.random((1, 1, 8, 8), dtype=np.float32))
            fog = functional.interpolate(fog, size=(256, 256), mode="bicubic", align_corners=False)[0, 0].numpy()
            write_image(folder / "cases" / case / "twin" / view / "drr.png", 0.2 + 0.5 * np.clip(fog, 0, 1))
    return folder


@pytest.fixture(scope="module")
def data(films, drrs):
    rows = read_drrs([str(drrs)])
    return load_data(films, rows, rows, TrainMunitLqSettings(**TINY))


def structure(size=128, seed=0):
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.standard_normal((1, 1, size, size), dtype=np.float32))
    smooth = functional.avg_pool2d(functional.avg_pool2d(noise, 5, 1, 2), 5, 1, 2)
    return 0.3 * smooth / smooth.std()


def test_bands_are_inverted_and_keep_the_energy_up_to_their_scales():
    image = structure(32)
    bands = to_bands(image)
    assert torch.allclose(from_bands(bands), image, atol=1e-5)
    energy = (bands / torch.tensor([0.5, 4, 4, 4])[:, None, None]).square().sum()
    assert float(energy) == pytest.approx(float(image.square().sum()), rel=1e-5)


def test_adain_sets_mean_and_deviation():
    x = 3 + 2 * torch.randn(2, 5, 16, 12, generator=torch.Generator().manual_seed(0))
    scale, shift = torch.rand(2, 5) + 0.5, torch.randn(2, 5)
    y = Moments()(x, scale, shift)
    assert torch.allclose(y.mean(dim=(2, 3)), shift, atol=1e-4)
    assert torch.allclose(y.std(dim=(2, 3), correction=0), scale, rtol=1e-4)


def test_the_norm_and_its_gradient_are_those_of_instance_norm():
    x = (1 + 2 * torch.randn(2, 3, 7, 9)).requires_grad_()
    weights = torch.randn(2, 3, 7, 9)
    ours, theirs = Moments()(x), functional.instance_norm(x, eps=1e-5)
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_statistics_come_from_the_middle_alone():
    x, layer = torch.randn(1, 2, 16, 16), Moments()
    layer.share = 0.5
    other = x.clone()
    other[:, :, :4] = 100
    assert torch.equal(layer(x)[:, :, 4:], layer(other)[:, :, 4:])
    middle = layer(other)[:, :, 4:12, 4:12]
    assert torch.allclose(middle.mean(dim=(2, 3)), torch.zeros(1, 2), atol=1e-5)
    assert torch.allclose(middle.std(dim=(2, 3), correction=0), torch.ones(1, 2), atol=1e-3)


def test_style_loss_compares_with_the_drawn_style():
    settings = TrainMunitLqSettings(**TINY)
    torch.manual_seed(0)
    source, target = Domain(settings), Domain(settings)
    drawn = torch.randn(1, 8)

    class Perfect(torch.nn.Module):
        """Reads the style back off the decoder that was given it."""

        def forward(self, image):
            return self.seen

    perfect = Perfect()
    target.style = perfect
    target.decoder.register_forward_pre_hook(lambda module, args: setattr(perfect, "seen", args[1]))
    image = structure(64)
    codes = Codes(image, source.content(image), source.style(image))
    assert float(translate_losses(source, target, codes, drawn, settings)[1]["style"]) == 0.0
    target.decoder._forward_pre_hooks.clear()
    perfect.seen = drawn
    other = translate_losses(source, target, codes, drawn.flip(1), settings)[1]["style"]
    assert float(other) == pytest.approx(float((drawn - drawn.flip(1)).abs().mean()))


def test_drawn_styles_are_random_or_detached_codes_of_real_images():
    codes = Codes(torch.zeros(1), torch.zeros(1), torch.full((400, 8), 7.0, requires_grad=True))
    assert torch.equal(draw_styles(codes, 1.0, torch.Generator().manual_seed(0)), codes.style)
    assert not draw_styles(codes, 1.0, torch.Generator()).requires_grad
    random = draw_styles(codes, 0.0, torch.Generator().manual_seed(0))
    assert abs(float(random.mean())) < 0.1
    assert float(random.std()) == pytest.approx(1.0, abs=0.05)


def test_discriminator_loss_is_that_of_least_squares():
    class Knows(torch.nn.Module):
        def forward(self, image):
            return [image, image]

    critic, ones = Knows(), torch.ones(1, 1, 4, 4)
    assert float(critic_loss(critic, ones, 0 * ones)) == 0.0
    assert float(critic_loss(critic, 0 * ones, 3 * ones)) == pytest.approx(2 * (1 + 9))


def test_structure_loss_forgives_tone_and_sees_shifts_and_lost_nodules():
    image = structure()
    assert float(structure_loss(image, 0.2 * image + 0.5)) == pytest.approx(0.0, abs=1e-4)
    assert float(structure_loss(image, -image)) == pytest.approx(2.0, abs=1e-4)
    assert float(structure_loss(image, image.roll(2, dims=-1))) > 0.1
    assert float(structure_loss(image, image.roll(4, dims=-1))) > float(structure_loss(image, image.roll(2, dims=-1)))
    line = torch.arange(128.0) - 64
    nodule = 0.5 * torch.exp(-(line[:, None] ** 2 + line[None] ** 2) / (2 * 3**2))[None, None]
    assert float(structure_loss(nodule + 0.02 * image, 0.02 * image)) > 0.1


def test_flat_crops_are_drawn_again_and_flat_images_are_an_error():
    settings = TrainMunitLqSettings(**TINY)
    flat, good = torch.full((128, 128), 0.5).half(), (structure()[0, 0] + 0.5).half()
    for seed in range(5):
        domain = Images([flat, good], np.array([0.9, 0.1]))
        assert draw_crop(domain, np.random.default_rng(seed), settings).std() > settings.min_deviation
    with pytest.raises(DrrxError, match=r"50 crops with standard deviation below 0.05; .* or lower --min-deviation"):
        draw_crop(Images([flat], np.ones(1)), np.random.default_rng(0), settings)


def test_crops_lie_about_the_middle():
    rows, columns = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    settings = TrainMunitLqSettings(**(TINY | {"shift_share": 0.1, "scale_jitter": 0.0, "min_deviation": 0.0}))
    domain = Images([(rows / 200).half(), (columns / 200).half()], np.array([1.0, 0.0]))
    middles = [float(draw_crop(domain, np.random.default_rng(i), settings).mean()) for i in range(50)]
    assert 0.39 < min(middles) < 0.43
    assert 0.57 < max(middles) < 0.61


class Stopped(Exception):
    pass


def stop(text):
    if text.startswith("step 2"):
        raise Stopped


def test_a_resumed_run_is_the_uninterrupted_one(data, tmp_path, monkeypatch):
    monkeypatch.setattr(munit_lq, "REPORT_STEPS", 1)
    settings = TrainMunitLqSettings(steps=5, save_minutes=1e-9, **TINY)
    whole = munit_lq.train_munit_lq(data, tmp_path / "a", settings)
    with pytest.raises(Stopped):
        munit_lq.train_munit_lq(data, tmp_path / "b", settings, progress=stop)
    resumed = munit_lq.train_munit_lq(data, tmp_path / "b", settings)
    assert resumed.step == whole.step == 5
    for part, network in whole.networks.items():
        for name, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[part].state_dict()[name]), (part, name)
    assert [row[2:] for row in resumed.losses] == [row[2:] for row in whole.losses]
    with pytest.raises(DrrxError, match="needed the networks of the settings given"):
        munit_lq.train_munit_lq(data, tmp_path / "b", TrainMunitLqSettings(**(TINY | {"width": 8})))
    with (tmp_path / "b" / "losses.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4", "5"]


def test_a_pair_of_crops_can_be_learned_and_stays_in_place(data, monkeypatch):
    settings = TrainMunitLqSettings(learning_rate=2e-3, **(TINY | {"width": 8}))
    state = make_state(settings)
    crops = {id(domain): 2 * domain.images[0][None, None, 60:92, 60:92].float() - 1
             for domain in (data.films, data.drrs)}  # fmt: skip
    monkeypatch.setattr(munit_lq, "draw_crops", lambda domain, *_: crops[id(domain)])
    losses = torch.stack([munit_lq.train_step(state, data, 0.3, settings) for _ in range(40)])
    kept = [munit_lq.LOSSES.index(name) for name in ("image", "cycle", "structure")]
    assert (losses[-5:, kept].mean(dim=0) < 0.5 * losses[:3, kept].mean(dim=0)).all()
    film = crops[id(data.films)]
    with torch.inference_mode():
        lq = state.drrs.decoder(state.films.content(film), state.drrs.style(crops[id(data.drrs)]))
    assert np.abs(find_shift(film[0, 0].numpy(), lq[0, 0].numpy())).max() < 0.3


@pytest.fixture(scope="module")
def trained(data, films, drrs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = TrainMunitLqSettings(steps=2, **TINY)
    state = munit_lq.train_munit_lq(data, folder, settings)
    facts = munit_lq.describe_run(films, read_drrs([str(drrs)]), state, settings)
    sha256 = munit_lq.export_weights(folder / "munit_lq.safetensors", state, data, settings, facts)
    return folder / "munit_lq.safetensors", sha256, state


def test_exported_weights_translate_as_the_averaged_networks_do(trained, data):
    path, sha256, state = trained
    model = load_munit_lq(path)
    assert (model.name, model.sha256, model.bank.shape) == ("munit_lq", sha256, (3, 11))
    image = 2 * data.films.images[0][None, None, :32, :32].float() - 1
    style = model.bank[:1, :-3]
    with torch.inference_mode():
        expected = state.average_drrs.decoder(state.average_films.content(image), style)
        found = model.network(image, style)
    assert torch.allclose(found, expected, atol=5e-3)
    assert torch.allclose(model.bank[:, -3:-1], torch.tensor([[w.low, w.high] for w in data.windows]))
    assert torch.allclose(model.bank[:, -1], torch.tensor(data.noise))


@pytest.mark.parametrize("shape", [(257, 300), (301, 255), (64, 65)])
def test_any_size_gives_a_registered_copy_of_that_size_from_the_seed_alone(trained, shape):
    model = load_munit_lq(trained[0])
    film = np.random.default_rng(0).random(shape, dtype=np.float32)
    lq = model.degrade(film, 5)
    assert lq.shape == shape
    assert lq.dtype == np.float32
    assert 0 <= lq.min() <= lq.max() <= 1
    assert np.array_equal(lq, model.degrade(film, 5))
    drawn = {int(np.argmin([np.abs(model.translate(film, i) - model.degrade(film, s)).max() for i in range(3)]))
             for s in range(12)}  # fmt: skip
    assert drawn == {0, 1, 2}


class Copy(Translator):
    """A translator that hands the image on, with some number added."""

    def forward(self, image, style):
        return image + style[0, 0]


def make_copier(low=0.0, high=1.0, noise=0.0, added=0.0):
    bank = torch.tensor([[added] + [0.0] * 7 + [low, high, noise]])
    return MunitLq(Copy(4, 1, 8, 16, 2, 64), bank, "", torch.device("cpu"))


def test_output_spans_the_window_of_the_drawn_drr():
    film = np.linspace(0, 0.8, 64 * 64, dtype=np.float32).reshape(64, 64)
    assert np.abs(make_copier(0.3, 0.6).degrade(film, 0) - (0.3 + 0.3 * film)).max() < 0.01


def test_noise_is_as_strong_as_the_drrs_and_comes_from_the_seed():
    film = np.full((128, 128), 0.5, dtype=np.float32)
    film[:64] = 0.0
    model = make_copier(noise=0.01)
    lq = model.degrade(film, 3)
    assert (lq[:60] == 0).all()
    assert lq[68:].std() == pytest.approx(0.01, rel=0.05)
    film[80:90, 80:90] += 0.1
    difference = model.degrade(film, 3) - lq
    assert np.abs(difference[:, :70]).max() < 1e-5
    assert np.abs(model.degrade(film, 4) - model.degrade(film, 3)).max() > 0.01


def test_what_is_brighter_than_white_keeps_its_order():
    film = np.tile(np.linspace(0.5, 1, 64, dtype=np.float32), (64, 1))
    lq = make_copier(added=0.4).translate(film, 0)[32]
    assert (np.diff(lq) > 0).all()
    assert lq.max() < 1
    assert torch.allclose(bend(torch.tensor([-0.1, 0.5, 0.9])), torch.tensor([0.0, 0.5, 0.9]))


def test_a_grid_of_the_decoders_cells_is_taken_away():
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).tile(32, 32) * 0.2 + 0.5
    film = checks.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy()
    assert make_copier().translate(film, 0)[16:-16, 16:-16].std() < 0.01
    slow = 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(128) / 16)[None].repeat(128, 0).astype(np.float32)
    assert make_copier().translate(slow, 0).std() > 0.9 * slow.std()


def test_halving_and_enlarging_move_nothing():
    for size in (128, 129):
        film = (structure(size)[0, 0].numpy() * 0.3 + 0.5).clip(0, 1)
        assert find_shift(film, np.roll(film, 1, axis=1)) == pytest.approx([0, 1], abs=0.1)
        assert np.abs(find_shift(film, make_copier().degrade(film, 0))).max() < 0.05


def find_shift(a, b):
    """Return the shift (rows, columns) of b against a: the slope of the phase of their cross spectrum."""
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
    cross = np.fft.fft2((b - b.mean()) * window) * np.conj(np.fft.fft2((a - a.mean()) * window))
    v, u = np.meshgrid(*(np.fft.fftfreq(size) for size in a.shape), indexing="ij")
    low = (np.hypot(u, v) < 0.1) & (np.hypot(u, v) > 0)
    weight = np.sqrt(np.abs(cross[low]))
    design = -2 * np.pi * np.stack([v[low], u[low]], axis=1) * weight[:, None]
    return np.linalg.lstsq(design, np.angle(cross[low]) * weight, rcond=None)[0]


def test_weights_of_another_kind_or_network_are_refused(trained, tmp_path):
    write_weights(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"kind": "ddpm_hq"})
    with pytest.raises(DrrxError, match="needed kind 'munit_lq'"):
        load_munit_lq(tmp_path / "x.safetensors")
    write_weights(tmp_path / "y.safetensors", {"a": torch.zeros(1)}, {"kind": "munit_lq", "network": {}})
    with pytest.raises(DrrxError, match=r"found another network .* needed the layers of this version of drrx"):
        load_munit_lq(tmp_path / "y.safetensors")


def test_the_command_trains_and_writes_weights(tmp_path, drrs, capsys):
    index = write_films(tmp_path / "x")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    numbers = [text for name, value in TINY.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    args = [
        "--images",
        str(index),
        "--drrs",
        f"{drrs}=1",
        "--exclude",
        "b",
        "--output",
        str(tmp_path / "w.safetensors"),
    ]
    command.run(parser.parse_args([*args, "--run-folder", str(tmp_path / "r"), "--steps", "1", *numbers]))
    assert load_munit_lq(tmp_path / "w.safetensors").sha256 in capsys.readouterr().out
