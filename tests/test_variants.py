"""Which images a case gets, and what is annotated in each: twin, positive, sham and removed, through every stage."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from drrx.annotate.shadow import shadows_from_arrays
from drrx.config import load_config, stage_settings
from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.io.arrays import read_arrays
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, write_json
from drrx.io.image import read_image
from drrx.io.nifti import write_volume
from drrx.radiograph.beam import Beam
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.annotation import ImageAnnotation
from drrx.records.case import CaseRecord
from drrx.records.patch import patches_from_arrays
from drrx.records.variant import make_variant_names, variant_role
from drrx.stages import annotate_cxr, compose_drr, project_ct, restore_cxr, sample_nodules
from drrx.stages.batch import CaseJob
from drrx.stages.compose_drr import project_patches
from drrx.stages.layout import CaseFolder
from tests.restorers import make_restorer
from tests.thorax import make_labels, make_thorax

CONFIG = {
    "variants": 2, "shams": 1, "project_ct": {"size_px": 256},
    "sample_nodules": {"kind": "solid", "diameter_min_mm": 16, "diameter_max_mm": 20},
    "restore_cxr": {"steps": 2},
}  # fmt: skip
NAMES = ("twin", "v1", "v2", "s1", "removed")


def run_stages(folder, config):
    """Run all stages from sampling on, with a tiny network, and check that each leaves what it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore_cxr, "_load", lambda weights, device: make_restorer())
        for stage in (sample_nodules, project_ct, compose_drr, restore_cxr, annotate_cxr):
            run_stage(stage, folder, config)


def run_stage(stage, folder, config):
    row = CohortRow(case="made", path="ct.nii.gz", cohort="x")
    settings = json.loads(stage_settings(load_config(config), stage.STAGE.name))
    products = stage.run(CaseJob(row, folder, settings, seed=4))
    assert all(path.is_file() for path in products)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A case with one real nodule at the pleura, through all stages from sampling on."""
    folder = CaseFolder(tmp_path_factory.mktemp("variants"), "made")
    thorax = make_thorax((3.0, 2.0, 2.0))
    write_volume(folder.ct, thorax.ct)
    write_volume(folder.anatomy, make_labels(thorax).labels)
    write_json(folder.anatomy_qc, {"lung_volume_l": 3.5})
    write_volume(folder.known_nodules, thorax.ct.with_values(thorax.nodule.astype(np.uint8)))
    source = {"format": "made", "has_nodules": "yes", "num_known_nodules": 1, "series_sha256": "0123"}
    geometry = {"spacing_mm": list(thorax.ct.spacing_mm), "origin_lps_mm": thorax.ct.to_world(np.zeros(3)).tolist()}
    write_json(folder.case_record, replace(CaseRecord("made"), source=source, geometry=geometry).to_json())
    run_stages(folder, CONFIG)
    return folder


def copy_case(folder, results):
    """Return the case as it was before sampling, in another folder."""
    copy = CaseFolder(results, folder.case)
    copy.folder.mkdir(parents=True)
    for path in (folder.ct, folder.anatomy, folder.anatomy_qc, folder.known_nodules, folder.case_record):
        shutil.copy(path, copy.folder)
    return copy


def read_record(folder, variant):
    return ImageAnnotation.from_json(read_json(folder.image(variant, "pa", "annotation.json")))


def read(folder, variant, name="drr.png"):
    return read_image(folder.image(variant, "pa", name)).astype(float)


def test_names_stand_in_one_order_and_tell_the_role():
    assert make_variant_names(2, 1, True) == NAMES
    assert make_variant_names(1, 0, False) == ("twin", "v1")
    assert [variant_role(name) for name in NAMES] == ["twin", "positive", "positive", "sham", "removed"]
    for name in ("v", "v0", "x1", "s1a", "Twin", ""):
        with pytest.raises(DrrxError, match="needed twin, removed, or v or s with a number"):
            variant_role(name)
    with pytest.raises(DrrxError, match="3 shams for 2 variants with nodules; needed at most one sham per variant"):
        make_variant_names(2, 3, False)


def test_the_case_names_its_variants(folder):
    assert folder.read_variants() == NAMES


def test_real_nodules_are_annotated_wherever_they_show_and_inserted_ones_in_their_variant(folder):
    found = {name: [(n.nodule.nodule_id, n.nodule.origin) for n in read_record(folder, name).nodules] for name in NAMES}
    real, inserted = ("r1", "real"), ("n1", "simulated")
    assert {name: set(each) for name, each in found.items()} == {
        "twin": {real}, "v1": {real, inserted}, "v2": {real, inserted}, "s1": {real}, "removed": set()
    }  # fmt: skip
    assert [read_record(folder, name).role for name in NAMES] == [variant_role(name) for name in NAMES]


def test_a_real_nodule_has_one_truth_in_all_images(folder):
    records = [read_record(folder, name) for name in ("twin", "v1", "v2", "s1")]
    first, *others = [next(n for n in record.nodules if n.nodule.origin == "real") for record in records]
    assert all(other == first for other in others)
    assert first.before.contrast_mean > 0


@pytest.mark.parametrize("name", ["drr.png", "cxr.png"])
def test_removed_is_the_twin_but_for_the_real_nodule(folder, name):
    (real,) = read_record(folder, "twin").nodules
    difference = read(folder, "twin", name) - read(folder, "removed", name)
    x, y, width, height = (round(value) for value in real.bbox_full)
    margin = 40 if name == "cxr.png" else 8
    inside = np.zeros(difference.shape, bool)
    inside[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin] = True
    assert not difference[~inside].any()
    assert difference[y : y + height, x : x + width].mean() > 0
    assert np.abs(difference).max() > 0.02


def test_a_sham_differs_from_the_twin_far_less_than_its_variant(folder):
    twin, sham, positive = (read(folder, name) for name in ("twin", "s1", "v1"))
    assert np.abs(sham - twin).max() < 0.1 * np.abs(positive - twin).max()
    record = read_json(folder.nodules("s1"))
    assert record["sham_of"] == "v1"
    places = [[n["center_world_mm"] for n in read_json(folder.nodules(name))["nodules"]] for name in ("s1", "v1")]
    assert places[0] == places[1]


def test_the_shadow_of_a_real_nodule_is_what_it_adds_to_the_body_without_it(folder):
    maps, view = read_arrays(folder.projection("pa")), read_record(folder, "twin").facts["geometry"]["view"]
    (lengths,) = project_patches(patches_from_arrays(read_arrays(folder.patches("removed"))), View.from_json(view))
    (shadow,) = shadows_from_arrays(read_arrays(folder.image("removed", "pa", "paths.npz")))
    beam = Beam.from_settings(ComposeDrrSettings())
    water_mm, bone_mm = (maps[name][lengths.window].astype(float) for name in ("water_mm", "bone_mm"))
    without = np.maximum(water_mm - lengths.water_mm, 0), np.maximum(bone_mm - lengths.bone_mm, 0)
    added = beam.attenuate(water_mm, bone_mm) - beam.attenuate(*without)
    assert added.max() > 0.1
    np.testing.assert_allclose(shadow.delta_line_integral, added, atol=1e-5)


def test_known_nodules_are_looked_at_in_each_view(folder, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(sample_nodules, "make_view_check", lambda job, ct, known: told.extend(known))
    run_stage(sample_nodules, copy_case(folder, tmp_path), {"variants": 0})
    (patch,) = patches_from_arrays(read_arrays(folder.patches("removed")))
    np.testing.assert_array_equal(told[0].occupancy, patch.occupancy)


def test_inserted_nodules_stay_away_from_real_ones(folder):
    (real,) = read_json(folder.nodules("removed"))["nodules"]
    for name in ("v1", "v2"):
        (nodule,) = read_json(folder.nodules(name))["nodules"]
        apart = np.linalg.norm(np.subtract(nodule["center_world_mm"], real["center_world_mm"]))
        assert apart >= 0.75 * (nodule["diameter_mm"] + real["diameter_mm"])


def test_facts_tell_how_an_image_was_made(folder):
    facts = read_record(folder, "v1").facts
    assert facts["ct"]["source"] == {"format": "made", "has_nodules": "yes", "num_known_nodules": 1}  # and no UID
    assert facts["quality"]["anatomy"] == {"lung_volume_l": 3.5}
    assert facts["geometry"] == read_json(folder.projection_record("pa"))
    assert facts["radiograph"]["noise_scatter_display_from"] == "made_twin_pa"
    drr = read_json(folder.image("v1", "pa", "drr.json"))
    assert {key: facts["radiograph"][key] for key in ("noise_seed", "physics", "display")} == {
        key: drr[key] for key in ("noise_seed", "physics", "display")
    }
    assert facts["restoration"] == read_json(folder.image("v1", "pa", "cxr.json"))
    assert facts["restoration"]["weights_sha256"] == "0" * 64
    assert set(facts["versions"]) == {"drrx"}


def test_a_real_nodule_beside_the_detector_is_named_and_refuses_nothing(folder, tmp_path):
    away = copy_case(folder, tmp_path)
    run_stages(away, {"variants": 0, "project_ct": {"size_px": 128, "detector_mm": 180.0}})
    assert read_record(away, "twin").outside_view == ("r1",)
    assert read_record(away, "twin").nodules == ()
    np.testing.assert_array_equal(read(away, "twin"), read(away, "removed"))
