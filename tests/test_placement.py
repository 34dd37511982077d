"""Where nodules go: inside the lung, the same again from the same seed, and a loud refusal where there is no place."""

import dataclasses
import json
from collections import Counter
from math import pi

import numpy as np
import pytest

from drrx.errors import CaseRefused, DrrxError
from drrx.nodule.labels import grow
from drrx.nodule.lung_map import make_lung_map
from drrx.nodule.place import Candidates
from drrx.nodule.sample import render_nodule, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.surroundings import lens_area, overlaps_another, survey
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule import Nodule
from drrx.volume import Volume
from tests.chests import make_case

QUICK = {"preset": "screening", "diameter_max_mm": 12.0}


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def sample(case):
    return sample_nodules(*case, SampleNodulesSettings(num_nodules=3, **QUICK), 11)


def test_same_seed_same_nodules(case, sample):
    again = sample_nodules(*case, SampleNodulesSettings(num_nodules=3, **QUICK), 11)
    assert [n.to_json() for n in again.nodules] == [n.to_json() for n in sample.nodules]
    for a, b in zip(again.patches, sample.patches, strict=True):
        np.testing.assert_array_equal(a.hu_after, b.hu_after)


def test_first_nodule_does_not_depend_on_how_many_follow(case, sample):
    alone = sample_nodules(*case, SampleNodulesSettings(num_nodules=1, **QUICK), 11)
    assert alone.nodules[0].to_json() == sample.nodules[0].to_json()


def test_another_seed_gives_another_nodule(case, sample):
    other = sample_nodules(*case, SampleNodulesSettings(**QUICK), 12).nodules[0]
    assert other.center_world_mm != sample.nodules[0].center_world_mm
    assert other.diameter_mm != sample.nodules[0].diameter_mm


def test_record_survives_json_and_renders_the_same_patch(case, sample):
    for nodule, patch in zip(sample.nodules, sample.patches, strict=True):
        again = Nodule.from_json(json.loads(json.dumps(nodule.to_json())))
        assert again == nodule
        np.testing.assert_array_equal(render_nodule(again, *case).hu_after, patch.hu_after)


def test_record_with_a_wrong_value_is_named(sample):
    data = sample.nodules[0].to_json()
    data["margin"] = "fluffy"
    with pytest.raises(DrrxError, match=r"nodule record, margin: found 'fluffy'.*Sample the nodules"):
        Nodule.from_json(data)


def test_volume_place_and_hu_are_as_recorded(case, sample):
    ct, anatomy = case
    lung = Volume(grow(anatomy.lung, 1.5, ct.spacing_mm).astype(np.uint8), ct.world_from_index)
    for nodule, patch in zip(sample.nodules, sample.patches, strict=True):
        assert patch.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.02)
        index = np.argwhere(patch.occupancy > 0.3)
        at = np.rint(lung.to_index(patch.grid.to_world(index))).astype(int)
        assert lung.values[tuple(at.T)].mean() > 0.95
        assert nodule.measures.hu_lung_local == pytest.approx(-860, abs=1)
        assert nodule.measures.delta_hu_ratio >= 0.8
        assert (patch.delta_hu >= 0).all()
        center = np.rint(ct.to_index(np.array(nodule.center_world_mm))).astype(int)
        assert anatomy.labels.values[tuple(center)] >= 5
        if nodule.attachment != "juxtapleural":
            np.testing.assert_allclose(nodule.measures.centroid_world_mm, nodule.center_world_mm, atol=0.6)


def test_nodules_keep_apart(sample):
    a, b, c = sample.nodules
    for one, two in ((a, b), (a, c), (b, c)):
        apart = np.linalg.norm(np.array(one.center_world_mm) - two.center_world_mm)
        assert apart >= 0.75 * (one.diameter_mm + two.diameter_mm) * 0.99


@pytest.mark.parametrize("attachment", ["juxtapleural", "juxtavascular"])
def test_attachments(case, attachment):
    shares = {"juxtapleural_share": 0.0, "juxtavascular_share": 0.0, f"{attachment}_share": 1.0}
    nodule = sample_nodules(*case, SampleNodulesSettings(**QUICK, **shares), 5).nodules[0]
    assert nodule.attachment == attachment
    if attachment == "juxtapleural":
        assert nodule.measures.pleura_distance_mm <= nodule.diameter_mm
        assert nodule.measures.outside_lung_fraction < 0.01
        assert nodule.measures.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.02)


def test_thick_slices_take_large_nodules_only():
    case = make_case(slice_mm=8.0)
    settings = SampleNodulesSettings()
    for seed in range(3):
        assert sample_nodules(*case, settings, seed).nodules[0].diameter_mm >= 20 - 1e-6
    with pytest.raises(
        CaseRefused, match=r"slices every 8.0 mm \(nodules from 20.0 mm.*thinner reconstruction"
    ) as error:
        sample_nodules(*case, SampleNodulesSettings(diameter_max_mm=10.0), 0)
    assert error.value.code == "NO_PLACE"


def test_dense_lung_is_refused_with_counts():
    case = make_case(hu_lung=-400)
    settings = SampleNodulesSettings(**QUICK, max_attempts=7, juxtapleural_share=0.0)
    with pytest.raises(CaseRefused, match=r"in 7 tries \(dense_tissue_around 7\).*max_attempts") as error:
        sample_nodules(*case, settings, 0)
    assert error.value.code == "NO_PLACE"


def test_emphysema_is_rejected_by_local_hu():
    with pytest.raises(CaseRefused, match="local_lung_hu 4"):
        sample_nodules(
            *make_case(hu_lung=-1000), SampleNodulesSettings(**QUICK, max_attempts=4, juxtapleural_share=0), 0
        )


def test_short_scan_is_rejected_at_its_ends(case):
    settings = SampleNodulesSettings(**QUICK, edge_margin_mm=50.0, max_attempts=300)
    result = sample_nodules(*case, settings, 3)
    assert abs(result.nodules[0].center_world_mm[2]) <= 40
    counts = sum((Counter(sample_nodules(*case, settings, seed).rejections) for seed in range(8)), Counter())
    assert counts["near_first_or_last_slice"] > 0


def test_no_lung_and_wrong_grid_are_refused(case):
    ct, anatomy = case
    empty = Anatomy(ct.with_values(np.ones(ct.shape, np.uint8)))
    with pytest.raises(CaseRefused, match="label map without lung"):
        sample_nodules(ct, empty, SampleNodulesSettings(), 0)
    other = Anatomy(Volume(anatomy.labels.values[1:], ct.world_from_index))
    with pytest.raises(DrrxError, match="on the grid of the CT"):
        sample_nodules(ct, other, SampleNodulesSettings(), 0)


def test_candidates_lie_as_deep_as_asked(case):
    lungs = make_lung_map(case[1])
    candidates = Candidates(lungs, 8.0, "isolated", "malignant")
    rng = np.random.default_rng(0)
    lobes = []
    for _ in range(300):
        center, lobe, depth = candidates.draw(rng)
        lobes.append(lobe)
        assert depth >= 9
        around = survey(*case[:1], case[1].labels, center, 8.0)
        assert around is not None
    upper = np.mean([lobe == Label.LOBE_RIGHT_UPPER for lobe in lobes])
    assert upper == pytest.approx(0.36 / 0.94, abs=0.08)  # there is no middle lobe in this chest


def test_geometry_of_overlap():
    assert lens_area(10, 3, 4) == 0
    assert lens_area(0.5, 3, 4) == pytest.approx(9 * pi)
    assert lens_area(1.0, 1.0, 1.0) == pytest.approx(2 * pi / 3 - np.sqrt(3) / 2)
    behind = [(np.array([0.0, 60.0, 0.0]), 10.0)]
    assert overlaps_another(np.zeros(3), 10.0, behind)  # far in depth, yet one hides the other
    assert not overlaps_another(np.array([12.0, 0.0, 0.0]), 10.0, behind)


def test_settings_refuse_nonsense():
    assert dataclasses.fields(SampleNodulesSettings)
    with pytest.raises(ValueError, match="num_nodules"):
        SampleNodulesSettings(num_nodules=0)
    with pytest.raises(ValueError, match="grid_spacing_mm"):
        SampleNodulesSettings(grid_spacing_mm=0.5)
