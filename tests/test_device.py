"""Which device a job gets, and what it does when the device has too little memory."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from drrx.errors import DrrxError
from drrx.restorer.memory import MIN_TILE_PX, run_within_memory
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.twin import restore_twin
from drrx.stages import device
from drrx.stages.device import count_devices, take_device
from tests.films import make_film
from tests.restorers import make_restorer

OUT = torch.OutOfMemoryError
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a new process: nothing taken yet."""
    monkeypatch.setattr(device, "_HELD", [])
    monkeypatch.setattr(device, "WAIT_S", 0.01)
    take_device.cache_clear()
    yield
    for stream in device._HELD:
        stream.close()
    take_device.cache_clear()


def see(monkeypatch, count):
    names = {f"cuda:{number}": f"GPU-{number}" for number in range(count)}
    monkeypatch.setattr(device, "list_devices", lambda: names)


def hold(folder, pipe, setting="cuda"):
    """A job: takes a device, says which, and works until it is told to stop."""
    take_device.cache_clear()
    pipe.send(take_device(setting, folder))
    pipe.recv()


class Job:
    def __init__(self, folder):
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=hold, args=(folder, other), daemon=True)
        self.process.start()

    def device(self, timeout=20):
        return self.pipe.recv() if self.pipe.poll(timeout) else None

    def end(self):
        self.pipe.send("stop")
        self.process.join()


@pytest.mark.parametrize("setting", ["cpu", "cuda:3", "mps"])
def test_a_device_that_is_named_is_taken_as_it_is(monkeypatch, setting):
    monkeypatch.setattr(device, "list_devices", lambda: pytest.fail("torch is not even asked"))
    assert take_device(setting) == setting


def test_auto_is_the_cpu_where_there_is_no_gpu_and_cuda_is_an_error(monkeypatch, tmp_path):
    see(monkeypatch, 0)
    assert take_device("auto", tmp_path) == "cpu"
    with pytest.raises(DrrxError, match=r"found 'cuda' and no CUDA device; .*Set device: cpu or auto"):
        take_device("cuda", tmp_path)


def test_a_process_keeps_its_device(monkeypatch, tmp_path):
    see(monkeypatch, 2)
    assert {take_device("auto", tmp_path) for _ in range(3)} == {"cuda:0"}


def test_jobs_side_by_side_get_different_devices_and_the_next_one_waits(monkeypatch, tmp_path):
    see(monkeypatch, 3)
    jobs = [Job(tmp_path) for _ in range(3)]
    assert sorted(job.device() for job in jobs) == ["cuda:0", "cuda:1", "cuda:2"]
    fourth = Job(tmp_path)
    assert fourth.device(timeout=0.3) is None
    jobs[1].end()
    assert fourth.device() is not None
    for job in (jobs[0], jobs[2], fourth):
        job.end()


def test_a_killed_job_gives_its_device_back(monkeypatch, tmp_path):
    see(monkeypatch, 1)
    first = Job(tmp_path)
    assert first.device() == "cuda:0"
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.join()
    second = Job(tmp_path)
    assert second.device() == "cuda:0"
    second.end()


def test_devices_are_told_apart_by_name_and_not_by_number(monkeypatch, tmp_path):
    """As in two SLURM jobs on a node, each with a device of its own that it calls 0."""
    monkeypatch.setattr(device, "list_devices", lambda: {"cuda:0": "GPU-a"})
    first = Job(tmp_path)
    assert first.device() == "cuda:0"
    monkeypatch.setattr(device, "list_devices", lambda: {"cuda:0": "GPU-b"})
    start = time.monotonic()
    assert take_device("cuda", tmp_path) == "cuda:0"
    assert time.monotonic() - start < 10
    first.end()


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,2,3", 3), ("GPU-8a, MIG-3f", 2)]
)
def test_devices_are_counted_without_torch(tmp_path, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert count_devices({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}, tmp_path) == count


# Too little memory


def try_out(settings, fits):
    tried = []

    def work(settings):
        tried.append((settings.batch_size, settings.tile_px))
        if not fits(settings):
            raise OUT("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return settings

    return run_within_memory(work, settings), tried


def test_batches_are_halved_first_and_tiles_then(caplog):
    settings = RestoreCxrSettings(batch_size=8, tile_px=1536, overlap_px=384)
    found, tried = try_out(settings, lambda it: it.batch_size == 1 and it.tile_px < 768)
    assert tried == [(8, 1536), (4, 1536), (2, 1536), (1, 1536), (1, 768), (1, 384)]
    assert found.overlap_px == 96
    assert "Tried to allocate 2.00 GiB. Again with batch_size 4, tile_px 1536." in caplog.text


def test_what_fits_is_done_once_with_the_settings_as_they_are():
    settings = RestoreCxrSettings(batch_size=3)
    assert try_out(settings, lambda it: True) == (settings, [(3, settings.tile_px)])


def test_one_small_tile_that_does_not_fit_is_told():
    with pytest.raises(MemoryError, match=f"One tile of {MIN_TILE_PX} px does not fit: set device: cpu"):
        try_out(RestoreCxrSettings(), lambda it: False)


def test_a_network_that_takes_only_so_many_pixels_restores_in_smaller_batches_and_tiles():
    """The real way with a network of limited memory: the same image as with the settings that fit from the start."""
    film, restorer = make_film(0, 512, 512), make_restorer()
    free, asked = restorer.network.forward, []

    def limited(noisy, *rest):
        asked.append(noisy.numel())
        if noisy.numel() > 300 * 300:
            raise OUT("CUDA out of memory.")
        return free(noisy, *rest)

    def restore(settings):
        twin = restore_twin(film, restorer, settings, 0)
        return settings, [twin.restored.image, *twin.restore_variants([film, film * 0.9])]

    start = RestoreCxrSettings(mode="mean", batch_size=2, tile_px=512, overlap_px=64, field_mm=215.0)
    restorer.network.forward = limited
    used, images = run_within_memory(restore, start)
    assert (used.batch_size, used.tile_px) == (1, 256)
    assert max(asked) == 512 * 512
    restorer.network.forward = free
    assert all(np.array_equal(*pair) for pair in zip(images, restore(used)[1], strict=True))


def test_variants_in_one_batch_are_those_one_by_one_but_for_rounding():
    film, restorer = make_film(0, 128, 128), make_restorer()
    drrs = [film, film * 0.9, film * 0.8]
    for mode in ("restored", "matched", "additive"):
        one, many = (RestoreCxrSettings(steps=2, nodule_mode=mode, batch_size=size) for size in (1, 3))
        first, second = (restore_twin(film, restorer, how, 0).restore_variants(drrs) for how in (one, many))
        assert max(np.abs(a - b).max() for a, b in zip(first, second, strict=True)) < 1e-4
