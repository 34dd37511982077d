"""The stage over the files of a made case, with a tiny network."""

from types import SimpleNamespace

import numpy as np

from drrx.io.arrays import write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import read_image, write_image
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
