"""The stage over the files of a made case, with a tiny network."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drrx.errors import CaseFailed
from drrx.io.arrays import write_arrays
from drrx.io.faults import describe_fault
from drrx.io.files import read_json, write_json
from drrx.io.image import read_image, write_image
from drrx.nets.unet import HaarUnet
from drrx.restorer.twin import restore_twin
from drrx.stages import restore_cxr as stage
from drrx.stages.batch import CaseJob
from drrx.stages.layout import CaseFolder
from tests.films import make_film
from tests.restorers import make_guided, make_restorer

CORNER, SIDE = (130, 40), 30


def run_stage(folder, monkeypatch, **settings):
    """One case, one view, a twin and a variant with a nodule; return the twin's and the variant's CXR and records."""
    job = CaseJob(
        row=SimpleNamespace(case="made"), folder=CaseFolder(folder, "made"), seed=3,
        settings={"views": ["pa"], "steps": 2, **settings},
    )  # fmt: skip
    write_json(job.folder.variants_file, {"variants": ["twin", "v1"]})
    drr = make_film(0, 300, 320)
    path = np.zeros((SIDE, SIDE), np.float32)
    path[4:-4, 4:-4] = 12.0
    place = np.zeros_like(drr)
    place[CORNER[0] : CORNER[0] + SIDE, CORNER[1] : CORNER[1] + SIDE] = path
    for variant, image, arrays in (
        ("twin", drr, {}),
        (
            "v1",
            drr + 0.004 * place,
            {"1_path_mm": path, "1_row": np.asarray(CORNER[0]), "1_column": np.asarray(CORNER[1])},
        ),
    ):
        job.folder.image(variant, "pa", "drr.png").parent.mkdir(parents=True, exist_ok=True)
        write_image(job.folder.image(variant, "pa", "drr.png"), image)
        write_arrays(job.folder.image(variant, "pa", "paths.npz"), arrays)
    monkeypatch.setattr(stage, "_load", lambda weights, device: make_restorer())
    products = stage.run(job)
    assert all(product.is_file() for product in products)
    assert len(products) == 4
    images = [read_image(job.folder.image(variant, "pa", "cxr.png")) for variant in ("twin", "v1")]
    records = [read_json(job.folder.image(variant, "pa", "cxr.json")) for variant in ("twin", "v1")]
    return *images, records, place > 0


def test_additive_variants_are_their_twin_outside_the_nodule_bit_for_bit(tmp_path, monkeypatch):
    twin, variant, records, inside = run_stage(tmp_path, monkeypatch, nodule_mode="additive")
    assert np.array_equal(twin[~inside], variant[~inside])
    assert np.abs(variant - twin)[inside].max() > 0.01
    assert all(record["nodule_mode"] == "additive" for record in records)


def test_records_tell_how_and_are_the_same_for_twin_and_variant(tmp_path, monkeypatch):
    twin, variant, (first, second), inside = run_stage(tmp_path, monkeypatch, alpha=0.3, grain=[1.2, 1, 1, 0.5])
    assert first == second, "no file but the pixels knows the label"
    assert {first[name] for name in ("mode", "precision", "nodule_mode", "low_band")} == {
        "blend", "float32", "matched", "tone"
    }  # fmt: skip
    assert (first["alpha"], first["grain"], first["steps"]) == (0.3, [1.2, 1.0, 1.0, 0.5], 2)
    assert len(first["tone_curve"]["inputs"]) == len(first["tone_curve"]["outputs"]) == 9
    assert np.array_equal(twin[:, 250:], variant[:, 250:])
    assert not np.array_equal(twin[inside], variant[inside])


def test_the_nodule_map_is_one_for_all_images_and_marks_the_rays_of_every_variant(tmp_path, monkeypatch):
    told = []

    def spy(drr, restorer, settings, seed, nodules):
        told.append(nodules)
        return restore_twin(drr, make_guided(), settings, seed, nodules)

    monkeypatch.setattr(stage, "restore_twin", spy)
    twin, variant, records, inside = run_stage(tmp_path, monkeypatch, nodule_condition=True)
    assert np.array_equal(told[0] > 0, inside)
    assert records[0]["nodule_condition"]
    assert np.array_equal(twin[:, 250:], variant[:, 250:])


def overflow(monkeypatch, is_bad):
    """Let the tiny network give values that are no numbers whenever ``is_bad`` says so."""
    free = HaarUnet.forward

    def forward(self, noisy, *rest):
        v = free(self, noisy, *rest)
        if is_bad():
            v[..., 5, 7] = float("inf")
        return v

    monkeypatch.setattr(HaarUnet, "forward", forward)


def test_an_overflow_in_brief_numbers_is_mended_in_float32(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(stage.log, "disabled", False)
    wanted = run_stage(tmp_path / "a", monkeypatch)
    overflow(monkeypatch, lambda: torch.is_autocast_enabled("cpu"))
    twin, variant, records, _ = run_stage(tmp_path / "b", monkeypatch, precision="bfloat16")
    assert np.array_equal(twin, wanted[0])
    assert np.array_equal(variant, wanted[1])
    assert {record["precision"] for record in records} == {"float32"}
    assert "Again in float32" in caplog.text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_restoration_that_is_no_number_fails_and_leaves_no_image(tmp_path, monkeypatch, precision):
    overflow(monkeypatch, lambda: True)
    with pytest.raises(CaseFailed, match=r"network's change.*found \d+ of \d+ values that are not finite") as caught:
        run_stage(tmp_path, monkeypatch, precision=precision)
    assert caught.value.code == "NON_FINITE_OUTPUT"
    assert not list(tmp_path.rglob("cxr.png"))


@pytest.mark.parametrize("call", [1, 2, 3])
def test_memory_that_runs_out_at_any_call_of_the_network_gives_the_image_of_less_at_a_time(tmp_path, monkeypatch, call):
    """Two calls for the twin, one for the variant. The nth fails once: all is done again with a batch of 1."""
    wanted = run_stage(tmp_path / "a", monkeypatch)
    free, calls = HaarUnet.forward, []

    def forward(self, *arrays):
        calls.append(arrays)
        if len(calls) == call:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return free(self, *arrays)

    monkeypatch.setattr(HaarUnet, "forward", forward)
    twin, variant, records, _ = run_stage(tmp_path / "b", monkeypatch, batch_size=2)
    assert np.array_equal(twin, wanted[0])
    assert np.array_equal(variant, wanted[1])
    assert {record["batch_size"] for record in records} == {1}
    assert len(calls) == call + 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_written(tmp_path, value):
    values = np.zeros((8, 8), np.float32)
    values[3, 4] = value
    writers = (
        functools.partial(write_image, tmp_path / "a.png", values),
        functools.partial(write_arrays, tmp_path / "a.npz", {"b": values}),
    )
    for write in writers:
        with pytest.raises(CaseFailed, match=r"a\.(png|npz, b): found 1 of 64 values that are not finite") as caught:
            write()
        assert caught.value.code == "NON_FINITE_OUTPUT"
    assert not list(tmp_path.iterdir())


def test_a_gpu_without_memory_is_no_defect():
    fault = describe_fault(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert (fault.code, fault.found) == ("OUT_OF_MEMORY", "too little memory")
