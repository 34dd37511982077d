import argparse
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from drrx.cli import train_bicubic, train_ddpm_hq
from drrx.diffusion.weights import read_weights
from drrx.errors import DrrxError
from drrx.nets.unet import HaarUnet
from drrx.pairs.films import read_films
from drrx.pairs.pool import load_pool
from drrx.train import ddpm_hq
from drrx.train.export import start_from
from drrx.train.log import LOG_FILE
from drrx.train.pace import rate_at
from drrx.train.settings import TrainDdpmHqSettings
from tests.films import write_films

NETWORK = {"widths": (8, 16), "blocks": (1, 1), "embedding": 16, "refine": 2}
TINY = NETWORK | {"batch_size": 2, "crop_px": 64, "late_crop_px": 0, "scale_crops": 4, "figure_steps": 0}
WORDS = "--batch-size 2 --crop-px 64 --late-crop-px 128 --scale-crops 4 --widths 8 16 --blocks 1 1 --embedding 16 "
WORDS += "--refine 2 --share-munit-lq 0 --share-ddpm-lq 0"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films") / "x")


@pytest.fixture(scope="module")
def pool(index):
    shares = {"physics": 0.5, "bicubic": 0.3, "identity": 0.2}
    return load_pool(read_films(index), [], shares, "train", nodule_share=0.5)


class Stopped(Exception):
    pass


def stop(text):
    if text.startswith("step 2"):
        raise Stopped


def test_a_resumed_run_is_the_uninterrupted_one(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(ddpm_hq, "REPORT_STEPS", 1)
    settings = TrainDdpmHqSettings(steps=5, save_minutes=1e-9, **(TINY | {"late_crop_px": 128}))
    whole = ddpm_hq.train_ddpm_hq(pool, tmp_path / "a", settings)
    with pytest.raises(Stopped):
        ddpm_hq.train_ddpm_hq(pool, tmp_path / "b", settings, progress=stop)
    resumed = ddpm_hq.train_ddpm_hq(pool, tmp_path / "b", settings)
    assert resumed.step == whole.step == 5
    steps = [line.split(",")[0] for line in (tmp_path / "b" / LOG_FILE).read_text().splitlines()]
    assert steps == ["step", *(str(step) for step in range(1, 6) for _ in range(2))]
    assert [stage["first_step"] for stage in resumed.stages] == [0, 1]
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name
    for first, second in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_going_on_with_another_network_says_so(pool, tmp_path):
    ddpm_hq.train_ddpm_hq(pool, tmp_path, TrainDdpmHqSettings(steps=1, **TINY))
    other = TrainDdpmHqSettings(steps=2, **(TINY | {"widths": (16, 16)}))
    with pytest.raises(DrrxError, match="needed the networks of the settings given"):
        ddpm_hq.train_ddpm_hq(pool, tmp_path, other)


def test_a_batch_can_be_learned(pool, tmp_path):
    settings = TrainDdpmHqSettings(steps=1, learning_rate=3e-3, **TINY)
    state = ddpm_hq.train_ddpm_hq(pool, tmp_path, settings)
    trainer = ddpm_hq.Trainer(state, pool, None, tmp_path, settings, Accelerator(cpu=True), print)
    batch = [(index, ddpm_hq.draw_numbered(pool, 0, index, 64, settings)) for index in range(2)]
    for group in state.optimizer.param_groups:
        group["lr"] = 3e-3
    losses = [float(trainer.step(batch)[0]) for _ in range(60)]
    assert losses[-1] < 0.6 * losses[0]


def test_large_crops_come_late_and_cover_the_same_area():
    settings = TrainDdpmHqSettings(batch_size=8, crop_px=256, late_crop_px=512, late_fraction=0.25)
    assert ddpm_hq.crop_at(0.74, settings) == (256, 8)
    assert ddpm_hq.crop_at(0.76, settings) == (512, 2)
    assert ddpm_hq.crop_at(0.99, dataclasses.replace(settings, late_crop_px=2048)) == (2048, 1)


def test_a_guided_network_starts_as_the_unguided_one_it_comes_from(tmp_path, pool):
    from drrx.diffusion.weights import write_weights

    torch.manual_seed(0)
    old = HaarUnet(**NETWORK)
    for parameter in old.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    sha256 = write_weights(tmp_path / "old.safetensors", dict(old.state_dict()), {"kind": "ddpm_hq"})
    start, first = start_from(tmp_path / "old.safetensors")
    new = HaarUnet(**NETWORK, guided=True)
    start(new)
    noisy, condition, nodules = (torch.randn(1, 1, 32, 40) for _ in range(3))
    t, level = torch.tensor([500]), torch.tensor([0.1])
    assert first == sha256
    # More input channels, though of weight 0, may be summed in another order.
    torch.testing.assert_close(new(noisy, condition, t, nodules, level), old(noisy, condition, t), atol=1e-4, rtol=0)
    with pytest.raises(DrrxError, match=r"needed the network of the settings given\. Give --widths"):
        start(HaarUnet((8, 8), (1, 1), 16, 2))


def test_log_and_figures_tell_of_validation_films(index, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(ddpm_hq, "REPORT_STEPS", 2)
    validation = load_pool(read_films(index), [], {"bicubic": 1.0}, "train", nodule_share=0.0, max_films=2)
    settings = TrainDdpmHqSettings(steps=4, **(TINY | {"figure_steps": 2}))
    ddpm_hq.train_ddpm_hq(pool, tmp_path, settings, validation=validation)
    lines = [line.split(",") for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert lines[0] == ["step", "minutes", "name", "value"]
    assert [line[2] for line in lines[1:4]] == ["loss", "loss_at_pure_noise", "psnr_bicubic"]
    assert 10 < float(lines[3][3]) < 60
    assert len(list((tmp_path / "figures").glob("step_*.png"))) == 2


def test_rate_rises_stays_and_falls_to_almost_nothing():
    settings = TrainDdpmHqSettings()
    assert rate_at(0.01, settings) == pytest.approx(0.5)
    assert rate_at(0.3, settings) == 1
    assert rate_at(0.8, settings) == pytest.approx(0.5)
    assert rate_at(1.0, settings) < 0.01


def test_command_writes_weights_with_their_story(index, tmp_path):
    parser = argparse.ArgumentParser()
    train_ddpm_hq.add_arguments(parser)
    words = f"--images {index} --output {tmp_path / 'w.safetensors'} --run-folder {tmp_path / 'run'} --steps 1 {WORDS}"
    train_ddpm_hq.run(parser.parse_args([*words.split(), "--figure-steps", "0"]))
    weights = read_weights(tmp_path / "w.safetensors", "ddpm_hq")
    story = weights.config["training"]
    assert story["system"] == "ddpm_hq"
    assert story["crops"] == 2
    assert story["licences"] == ["CC BY 4.0"]
    assert not set(story["patients"]["train"]) & set(story["patients"]["test"])
    assert weights.tensors["enter.weight"].dtype == torch.float16
    assert weights.tensors["enter.bias"].dtype == torch.float32


def test_the_bicubic_baseline_differs_by_its_pairs_alone(index, tmp_path):
    parser = argparse.ArgumentParser()
    train_bicubic.add_arguments(parser)
    words = f"--images {index} --output {tmp_path / 'b.safetensors'} --run-folder {tmp_path / 'run'} --steps 1 {WORDS}"
    train_bicubic.run(parser.parse_args([*words.split(), "--figure-steps", "0"]))
    story = read_weights(tmp_path / "b.safetensors", "ddpm_hq").config["training"]
    shares = {name: value for name, value in story["settings"].items() if name.startswith("share_")}
    assert story["system"] == "bicubic"
    assert {name for name, value in shares.items() if value} == {"share_bicubic"}


@pytest.mark.slow
def test_two_processes_learn_what_one_does(index, tmp_path):
    for number in (1, 2):
        words = f"--images {index} --output {tmp_path / f'{number}.safetensors'} --run-folder {tmp_path / str(number)} "
        words += f"--steps 4 {WORDS} --late-crop-px 0 --figure-steps 0"
        launch = f"-m accelerate.commands.launch --cpu --num_processes {number} -m drrx train-ddpm-hq {words}"
        subprocess.run([sys.executable, *launch.split()], check=True)
    first, second = (read_weights(tmp_path / f"{n}.safetensors", "ddpm_hq").tensors for n in (1, 2))
    for name, value in first.items():
        assert np.allclose(value, second[name], atol=2e-3), name
