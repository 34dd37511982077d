import argparse

import pytest
import torch

from drrx.cli import train_ddpm_hq as command
from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.schedule import make_alphas
from drrx.diffusion.weights import read_weights
from drrx.errors import DrrxError
from drrx.pairs.films import read_films
from drrx.train import ddpm_hq
from drrx.train.settings import TrainDdpmHqSettings
from tests.films import write_films

TINY = {"batch_size": 2, "crop_px": 64, "widths": (8, 16), "blocks": (1, 1), "embedding": 16, "refine": 2} | {
    "scale_crops": 4
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films") / "x")


class Stopped(Exception):
    pass


def stop(text):
    if text.startswith("step 2"):
        raise Stopped


def test_a_resumed_run_is_the_uninterrupted_one(index, tmp_path, monkeypatch):
    monkeypatch.setattr(ddpm_hq, "REPORT_STEPS", 1)
    settings, rows = TrainDdpmHqSettings(steps=5, save_minutes=1e-9, **TINY), read_films(index)
    whole = ddpm_hq.train_ddpm_hq(rows, tmp_path / "a", settings)
    with pytest.raises(Stopped):
        ddpm_hq.train_ddpm_hq(rows, tmp_path / "b", settings, progress=stop)
    resumed = ddpm_hq.train_ddpm_hq(rows, tmp_path / "b", settings, resume=True)
    assert resumed.step == whole.step == 5
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name
    for first, second in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_resume_without_a_checkpoint_or_with_another_network_says_so(index, tmp_path):
    rows = read_films(index)
    with pytest.raises(DrrxError, match=r"found no checkpoint; .* Leave --resume out to start anew"):
        ddpm_hq.train_ddpm_hq(rows, tmp_path, TrainDdpmHqSettings(steps=1, **TINY), resume=True)
    ddpm_hq.train_ddpm_hq(rows, tmp_path, TrainDdpmHqSettings(steps=1, **TINY))
    other = TrainDdpmHqSettings(steps=1, **(TINY | {"widths": (16, 16)}))
    with pytest.raises(DrrxError, match="needed the network of the settings given"):
        ddpm_hq.train_ddpm_hq(rows, tmp_path, other, resume=True)


def test_a_batch_can_be_learned(index, tmp_path):
    settings = TrainDdpmHqSettings(steps=1, learning_rate=3e-3, **TINY)
    state = ddpm_hq.train_ddpm_hq(read_films(index), tmp_path, settings)
    batch = ddpm_hq.draw_batch(ddpm_hq.load_stacks(read_films(index), settings, print), 0, settings)
    alphas, scale = make_alphas(2.0).float(), ResidualScale(state.deviations)
    for group in state.optimizer.param_groups:
        group["lr"] = 3e-3
    losses = [float(ddpm_hq.train_step(state, batch, alphas, scale, settings, "cpu")[0]) for _ in range(60)]
    assert losses[-1] < 0.6 * losses[0]


def test_rate_rises_stays_and_falls_to_almost_nothing():
    settings = TrainDdpmHqSettings()
    assert ddpm_hq.rate_at(0.01, settings) == pytest.approx(0.5)
    assert ddpm_hq.rate_at(0.3, settings) == 1
    assert ddpm_hq.rate_at(0.8, settings) == pytest.approx(0.5)
    assert ddpm_hq.rate_at(1.0, settings) < 0.01


def test_no_film_for_training_is_an_error(tmp_path):
    with pytest.raises(DrrxError, match="0 usable rows, none for training"):
        ddpm_hq.train_ddpm_hq((), tmp_path, TrainDdpmHqSettings(steps=1, **TINY))


def test_command_writes_weights_with_their_story(index, tmp_path):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = f"--images {index} --output {tmp_path / 'w.safetensors'} --run-folder {tmp_path / 'run'} --steps 1 "
    words += "--batch-size 2 --crop-px 64 --widths 8 16 --blocks 1 1 --embedding 16 --refine 2 --scale-crops 4"
    command.run(parser.parse_args(words.split()))
    weights = read_weights(tmp_path / "w.safetensors", "ddpm_hq")
    story = weights.config["training"]
    assert story["crops"] == 2
    assert story["stages"] == [{"first_step": 0, "crop_px": 64, "batch_size": 2}]
    assert story["licences"] == ["CC BY 4.0"]
    assert not set(story["patients"]["train"]) & set(story["patients"]["test"])
    assert weights.tensors["enter.weight"].dtype == torch.float16
    assert weights.tensors["enter.bias"].dtype == torch.float32
