import argparse
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from drrx.cli import restore_cxr as command
from drrx.diffusion.weights import read_weights, write_weights
from drrx.errors import DrrxError
from drrx.pairs.window import measure_window
from drrx.restorer.change import GRAIN_KERNEL, MEAN_KERNEL, smooth
from drrx.restorer.model import DELIVERED, KIND, load_restorer
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.tiles import cut_tiles, join_tiles
from tests.films import make_film
from tests.restorers import make_restorer


@pytest.mark.parametrize("extent", [1024, 1025, 1500, 4096])
def test_tiles_cover_overlap_and_join_to_what_was_cut(extent):
    tiles = cut_tiles(64, extent, 512, 128, 32)
    field = torch.randn(2, 1, 64, extent)
    joined = join_tiles([field[..., rows, columns] for rows, columns in tiles], tiles, field, 128)
    assert torch.allclose(joined, field, atol=1e-5)
    assert len(tiles) == math.ceil((extent - 128) / (512 - 128))
    for (_, left), (_, right) in itertools.pairwise(tiles):
        assert left.stop - right.start >= 128
        assert right.start % 32 == 0
        assert left.stop - left.start <= 512


def test_a_tile_does_not_count_at_its_rim():
    tiles = cut_tiles(64, 1024, 640, 256, 32)
    parts = [torch.full((1, 1, 64, columns.stop - columns.start), float(i)) for i, (_, columns) in enumerate(tiles)]
    joined = join_tiles(parts, tiles, torch.zeros(1, 1, 64, 1024), 256)[0, 0, 0]
    left, right = (columns for _, columns in tiles)
    assert (joined[: right.start + 64] == 0).all()
    assert (joined[left.stop - 64 :] == 1).all()
    assert (joined.diff() >= 0).all()
    assert joined.diff().max() < 0.02


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
    assert np.allclose(restore(mode="blend", grain=(1.0,) * 4), restore(mode="sample"), atol=1e-6)


def test_large_images_are_thinned_and_keep_their_size():
    image = make_film(0, 700, 900)
    settings = RestoreCxrSettings(mode="mean", field_mm=200.0)
    assert restore_cxr([image], make_restorer(), settings, [0])[0].shape == image.shape


@pytest.mark.parametrize("mode", ["mean", "blend"])
def test_a_tiled_image_equals_the_whole_and_has_no_seam(mode):
    """A tile border is one column: a seam would stand out of the difference to the whole in its gradient."""
    image, restorer = make_film(0, 400, 900), make_restorer()
    whole, tiled = (
        restore_cxr([image], restorer, RestoreCxrSettings(mode=mode, steps=3, tile_px=tile, overlap_px=128), [0])[0]
        for tile in (1024, 384)
    )
    assert np.abs(whole - tiled).max() < 1e-3
    assert np.abs(np.diff(tiled - whole)).max() < 1e-4


def test_a_batch_of_the_network_changes_less_than_the_stated_tolerance():
    images = [make_film(0), make_film(1), make_film(2, 257, 259), make_film(3)]
    one, many = (
        restore_cxr(images, make_restorer(), RestoreCxrSettings(steps=2, batch_size=size), [1, 2, 3, 4])
        for size in (1, 3)
    )
    assert max(np.abs(a - b).max() for a, b in zip(one, many, strict=True)) < 1e-4


def test_high_quality_has_no_pattern_of_the_networks_grid():
    """Random weights make a pattern of 4 px on a flat image; the mean over a shift of 2 px takes its odd waves away."""
    image = np.full((256, 256), 0.5, np.float32)
    image[:64] = 0.2
    patterns = []
    for quality in ("normal", "high"):
        settings = RestoreCxrSettings(mode="mean", quality=quality, tone="full")
        flat = restore_cxr([image], make_restorer(), settings, [0])[0][128:224, 64:160]
        waves = np.abs(np.fft.fft2(flat - flat.mean()))[::24, ::24]
        patterns.append(waves[[0, 1, 1, 2], [1, 0, 2, 1]])
    assert patterns[1].max() < 0.2 * patterns[0].max() < 0.05, "the filters leave little, the shift the rounding alone"


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


def detail_power(values):
    return np.var(ndimage.gaussian_filter(values, 1.0) - ndimage.gaussian_filter(values, 4.0))


@pytest.mark.parametrize("bits", [8, 16])
def test_command_restores_a_hazed_image(tmp_path, bits):
    film = make_film(5, 512, 480)
    film = np.clip(measure_window(film).apply(film), 0, 1)
    hazed = haze(film)
    white, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    Image.fromarray(np.round(hazed * white).astype(kind)).save(tmp_path / "in.png")
    run_command(tmp_path / "in.png", "--output", tmp_path / "out.png", "--mode", "mean", "--low-band", "input")
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode in ("I;16", "I")
        restored = np.asarray(out) / 65535
    assert restored.shape == film.shape
    assert psnr(restored, film) > psnr(hazed, film) + 8
    assert abs(np.log(detail_power(restored) / detail_power(film))) < 0.5 * np.log(
        detail_power(film) / detail_power(hazed)
    )


def test_command_gives_the_same_bytes_for_the_same_seed(tmp_path):
    Image.fromarray((haze(make_film(6, 256, 256)) * 65535).astype(np.uint16)).save(tmp_path / "in.png")
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run_command(tmp_path / "in.png", "--output", tmp_path / name, "--mode", "sample", "--steps", 2, "--seed", seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_wrong_weights_are_refused(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not weights")
    with pytest.raises(DrrxError, match=r"found no SHA-256 in w.safetensors.sha256 beside it \(MODEL_HASH\)"):
        load_restorer(tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused(tmp_path):
    weights = read_weights(DELIVERED, KIND)
    config = {**weights.config, "network": {**weights.config["network"], "widths": [32, 64, 128]}}
    write_weights(tmp_path / "other.safetensors", weights.tensors, config)
    with pytest.raises(DrrxError, match=r"other\.safetensors: found another network.*Train anew"):
        load_restorer(tmp_path / "other.safetensors")


def test_filters_take_the_grid_of_two_pixels_and_leave_the_rest_its_place():
    checks = torch.ones(1, 1, 32, 32)
    checks[..., ::2, 1::2] = checks[..., 1::2, ::2] = -1.0
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    for kernel in (MEAN_KERNEL, GRAIN_KERNEL):
        assert smooth(checks, kernel).abs().max() < 1e-6
        assert torch.allclose(smooth(ramp, kernel)[..., 3:-3, 3:-3], ramp[..., 3:-3, 3:-3], atol=1e-5)
    wave = torch.sin(torch.arange(64.0) * torch.pi / 4).expand(1, 1, 64, 64)
    kept = float(smooth(wave, MEAN_KERNEL)[..., 8:-8, 8:-8].std() / wave[..., 8:-8, 8:-8].std())
    assert kept > 0.95, "a period of 8 px stays"
