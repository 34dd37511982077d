import argparse
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from drrx.cli import restore_cxr as command
from drrx.diffusion.weights import read_weights, write_weights
from drrx.errors import DrrxError
from drrx.pairs.window import measure_window
from drrx.restorer.model import DELIVERED, KIND, load_restorer
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tiles import cut_tiles, join_tiles
from tests.films import make_film
from tests.restorers import make_restorer


@pytest.mark.parametrize("extent", [1024, 1025, 1500, 4096])
def test_tiles_cover_overlap_and_join_to_what_was_cut(extent):
    tiles = cut_tiles(64, extent, 512, 128)
    field = torch.randn(1, 1, 64, extent)
    joined = join_tiles([field[..., rows, columns] for rows, columns in tiles], tiles, 64, extent, 128)
    assert torch.allclose(joined, field, atol=1e-5)
    for (_, left), (_, right) in itertools.pairwise(tiles):
        assert left.stop - right.start >= 128
        assert right.start % 32 == 0


@pytest.mark.parametrize("mode", ["mean", "sample", "blend"])
def test_batch_order_and_company_change_nothing(mode):
    images = [make_film(0), make_film(1, 256, 300), make_film(2, 257, 259)]
    settings, restorer = RestoreCxrSettings(mode=mode, steps=2), make_restorer()
    together = restore_cxr(images, restorer, settings, [1, 2, 3])
    alone = restore_cxr(images[1:2], restorer, settings, [2])
    assert np.array_equal(together[1], alone[0])
    assert [out.shape for out in together] == [image.shape for image in images]
    assert all(out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1 for out in together)


def test_threads_change_less_than_the_stated_tolerance():
    image, restorer = make_film(0), make_restorer()
    before = torch.get_num_threads()
    try:
        one, two = (
            restore_cxr([image], restorer, RestoreCxrSettings(steps=2, threads=threads), [0])[0] for threads in (1, 2)
        )
    finally:
        torch.set_num_threads(before)
    assert np.abs(one - two).max() < 1e-4


def test_seed_matters_for_samples_and_alpha_goes_from_mean_to_sample():
    image, restorer = make_film(0), make_restorer()

    def restore(seed=0, **how):
        return restore_cxr([image], restorer, RestoreCxrSettings(steps=2, tone="full", **how), [seed])[0]

    assert not np.array_equal(restore(0, mode="sample"), restore(1, mode="sample"))
    assert np.allclose(restore(mode="blend", alpha=0.0), restore(mode="mean"), atol=1e-6)
    assert np.array_equal(restore(mode="blend", alpha=1.0), restore(mode="sample"))


def test_a_variant_with_its_twins_window_and_seed_differs_near_the_nodule_only():
    twin = make_film(0, 300, 600)
    variant = twin.copy()
    variant[130:160, 40:70] += 0.05
    window = measure_window(twin)
    settings = RestoreCxrSettings(steps=2)
    out = restore_cxr([twin, variant], make_restorer(), settings, [7, 7], windows=[window, window])
    change = np.abs(out[1] - out[0])
    assert change[:, :120].max() > 0.01
    assert change[:, 300:].max() < 1e-6


def test_large_images_are_thinned_and_tiled_images_have_no_seam():
    image = make_film(0, 700, 900)
    restorer = make_restorer()
    thin = restore_cxr([image], restorer, RestoreCxrSettings(mode="mean", field_mm=200.0), [0])[0]
    assert thin.shape == image.shape
    whole = restore_cxr([image], restorer, RestoreCxrSettings(mode="mean", tile_px=1024), [0])[0]
    tiled = restore_cxr([image], restorer, RestoreCxrSettings(mode="mean", tile_px=512), [0])[0]
    assert np.abs(whole - tiled).max() < 2e-3


def test_locked_tones_keep_the_coarse_image():
    image, restorer = make_film(0), make_restorer()
    settings = RestoreCxrSettings(mode="mean", tone="input", lock_sigma_px=8.0)
    locked = restore_cxr([image], restorer, settings, [0])[0]
    free = restore_cxr([image], restorer, dataclasses.replace(settings, lock_sigma_px=0.0), [0])[0]
    coarse = [ndimage.gaussian_filter(x, 24)[50:-50, 50:-50] for x in (image, locked, free)]
    assert np.abs(coarse[1] - coarse[0]).mean() < 0.3 * np.abs(coarse[2] - coarse[0]).mean()


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((3, 100, 100)), r"shape \(3, 100, 100\)"),
        (np.zeros((20, 100)), r"shape \(20, 100\)"),
        (np.full((100, 100), np.nan), "with values that are not finite"),
    ],
)
def test_what_is_no_radiograph_is_refused(image, text):
    with pytest.raises(DrrxError, match=text):
        restore_cxr([image.astype(np.float32)], make_restorer(), RestoreCxrSettings(), [0])


def run_command(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(word) for word in words]))


def haze(film):
    """Blur, loss of contrast and a veil."""
    return 0.2 + 0.5 * ndimage.gaussian_filter(film, 1.5)


def psnr(image, film):
    return -10 * np.log10(np.mean((image - film)[16:-16, 16:-16] ** 2))


def test_delivered_weights_are_small_and_say_what_they_are():
    from drrx.diffusion.weights import read_weights

    weights = read_weights(DELIVERED, "ddpm_hq")
    assert DELIVERED.stat().st_size < 12e6
    story = weights.config["training"]
    assert story["crops"] > 20_000
    assert not any(licence.startswith("CC BY-NC") for licence in story["licences"])
    assert not set(story["patients"]["train"]) & (set(story["patients"]["test"]) | set(story["patients"]["val"]))


@pytest.mark.parametrize("bits", [8, 16])
def test_command_restores_a_hazed_image(tmp_path, bits):
    film = make_film(5, 512, 480)
    film = np.clip(measure_window(film).apply(film), 0, 1)
    hazed = haze(film)
    white, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    Image.fromarray(np.round(hazed * white).astype(kind)).save(tmp_path / "in.png")
    run_command(tmp_path / "in.png", "--output", tmp_path / "out.png", "--mode", "mean", "--seed", 0)
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode in ("I;16", "I")
        restored = np.asarray(out) / 65535
    assert restored.shape == film.shape
    stretched = np.clip(measure_window(hazed).apply(hazed), 0, 1)
    assert psnr(restored, film) > psnr(hazed, film) + 8
    assert psnr(restored, film) > psnr(stretched, film)


def test_command_gives_the_same_bytes_for_the_same_seed(tmp_path):
    Image.fromarray((haze(make_film(6, 256, 256)) * 65535).astype(np.uint16)).save(tmp_path / "in.png")
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run_command(tmp_path / "in.png", "--output", tmp_path / name, "--mode", "sample", "--steps", 2, "--seed", seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_wrong_weights_are_refused(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not weights")
    with pytest.raises(DrrxError, match=r"w.safetensors: found .*; needed a safetensors file written by drrx"):
        load_restorer(tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused(tmp_path):
    weights = read_weights(DELIVERED, KIND)
    config = {**weights.config, "network": {**weights.config["network"], "widths": [32, 64, 128]}}
    write_weights(tmp_path / "other.safetensors", weights.tensors, config)
    with pytest.raises(DrrxError, match=r"other\.safetensors: found another network.*Train anew"):
        load_restorer(tmp_path / "other.safetensors")
