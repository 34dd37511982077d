"""Where nodules go: inside the lung, the same again from the same seed, and a loud refusal where there is no place."""

import dataclasses
import json
from collections import Counter
from math import pi

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from drrx.errors import CaseRefused, DrrxError
from drrx.nodule import rules
from drrx.nodule.labels import grow
from drrx.nodule.lung_map import make_lung_map
from drrx.nodule.place import Candidates
from drrx.nodule.sample import draw_count, render_nodule, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.surroundings import lens_area, overlaps_another, survey
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule import Nodule
from drrx.volume import Volume
from tests.chests import make_case

QUICK = {"preset": "screening", "diameter_max_mm": 12.0, "blur": "fixed"}


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


# Every rule, just kept and just broken.

CUBE, STEP_MM = (21, 21, 21), 0.5
INSIDE = np.ones(CUBE, np.float32)
LUNG_HU = np.full(CUBE, -850, np.float32)


def labels_with(label, share):
    """A cube of lung whose last slices, ``share`` of all, have another label."""
    labels = np.full(CUBE, Label.LOBE_RIGHT_UPPER, np.uint8)
    labels.ravel()[labels.size - round(share * labels.size) :] = label
    return labels


def hu_with(hu, share):
    values = LUNG_HU.copy()
    values.ravel()[values.size - round(share * values.size) :] = hu
    return values


@pytest.mark.parametrize(
    ("attachment", "label", "hu", "limit", "reason"),
    [
        ("isolated", Label.AIRWAY, -850, 0.02, "in_airway"),
        ("isolated", Label.VESSEL_RIGHT, -850, 0.15, "in_vessel"),
        ("juxtapleural", Label.VESSEL_LEFT, -850, 0.15, "in_vessel"),
        ("isolated", Label.LOBE_RIGHT_UPPER, -299, 0.10, "in_dense_tissue"),
        ("juxtapleural", Label.LOBE_RIGHT_UPPER, -299, 0.10, "in_dense_tissue"),
    ],
)
def test_what_a_nodule_may_cover(attachment, label, hu, limit, reason):
    kept, broken = ((labels_with(label, s), hu_with(hu, s)) for s in (limit - 0.01, limit + 0.01))
    rules.check_cover(INSIDE, *kept, STEP_MM, attachment)
    with pytest.raises(rules.Rejected, match=f"^{reason}$"):
        rules.check_cover(INSIDE, *broken, STEP_MM, attachment)


def test_what_a_nodule_may_cover_depends_on_what_it_is_attached_to():
    vessel = (labels_with(Label.VESSEL_RIGHT, 0.4), hu_with(40, 0.4))
    rules.check_cover(INSIDE, *vessel, STEP_MM, "juxtavascular")
    with pytest.raises(rules.Rejected, match="in_vessel"):
        rules.check_cover(INSIDE, *vessel, STEP_MM, "isolated")
    # The wall within 1 mm of the lung is no part outside it; a juxtapleural nodule may fill that millimetre.
    labels = labels_with(Label.BODY, 2 / 21)
    rules.check_cover(INSIDE, labels, LUNG_HU, STEP_MM, "isolated")
    rules.check_cover(INSIDE, labels_with(Label.BODY, 0.14), hu_with(40, 0.14), STEP_MM, "juxtapleural")
    with pytest.raises(rules.Rejected, match="in_dense_tissue"):
        rules.check_cover(INSIDE, labels_with(Label.BODY, 0.14), hu_with(40, 0.14), STEP_MM, "isolated")
    with pytest.raises(rules.Rejected, match="outside_lung"):
        rules.check_cover(INSIDE, labels_with(Label.BODY, 5 / 21), LUNG_HU, STEP_MM, "juxtapleural")


class Around:
    """A block of lung of 60 mm around the origin in a wide scan of tissue, air around that; a ball of 6 mm."""

    def __init__(self):
        self.labels = np.full((60, 80, 80), Label.BODY, np.uint8)
        self.labels[:, [0, -1]] = self.labels[:, :, [0, -1]] = Label.OUTSIDE
        self.labels[15:45, 25:55, 25:55] = Label.LOBE_LEFT_UPPER
        self.hu = np.where(self.labels == Label.LOBE_LEFT_UPPER, -850, 40).astype(np.int16)

    def check(self, center=(0.0, 0.0, 0.0), attachment="isolated", **settings):
        ct = Volume.from_spacing(self.hu, (2.0,) * 3, (-79.0, -79.0, -59.0))
        return rules.check_surroundings(
            ct, ct.with_values(self.labels), np.array(center), 6.0, attachment, SampleNodulesSettings(**settings)
        )


def test_good_surroundings_give_the_local_lung():
    assert Around().check() == -850


def test_surroundings_without_lung():
    around = Around()
    around.labels[around.labels == Label.LOBE_LEFT_UPPER] = Label.BODY
    with pytest.raises(rules.Rejected, match="no_lung_around"):
        around.check()


def test_depth_in_the_lung_as_the_ct_has_it():
    # The first voxel that is not lung has its centre at x = 31 mm.
    assert Around().check((23.9, 1, 1)) == -850
    with pytest.raises(rules.Rejected, match="not_deep_enough"):
        Around().check((24.1, 1, 1))
    assert Around().check((24.1, 1, 1), "juxtapleural") == -850


def test_edge_of_the_field_of_view():
    around = Around()
    around.labels[:, :, 49:] = Label.OUTSIDE  # centres from x = 19 mm on: 13 mm from the ball
    assert around.check((2.9, 0, 0)) == -850
    with pytest.raises(rules.Rejected, match="near_edge_of_field_of_view"):
        around.check((3.1, 0, 0))
    cut = Around()
    cut.labels, cut.hu = cut.labels[:, :, 26:54].copy(), cut.hu[:, :, 26:54].copy()
    ct = Volume.from_spacing(cut.hu, (2.0,) * 3, (-27.0, -79.0, -59.0))
    place = [ct, ct.with_values(cut.labels), np.zeros(3), 6.0, "isolated", SampleNodulesSettings()]
    assert rules.check_surroundings(*place) == -850
    place[2] = np.array([-12.0, 0, 0])
    with pytest.raises(rules.Rejected, match="near_edge_of_field_of_view"):
        rules.check_surroundings(*place)


def test_a_nodule_or_consolidation_that_is_there_already():
    around = Around()
    z, y, x = np.meshgrid(*(np.arange(n) * 2.0 - o for n, o in ((60, 59), (80, 79), (80, 79))), indexing="ij")
    around.hu[(x**2 + y**2 + z**2 < 11**2) & (around.labels == Label.LOBE_LEFT_UPPER)] = 30
    with pytest.raises(rules.Rejected, match="dense_tissue_around"):
        around.check()


@pytest.mark.parametrize(("hu", "kept"), [(-981, False), (-979, True), (-651, True), (-649, False)])
def test_local_lung_is_neither_empty_nor_full(hu, kept):
    around = Around()
    around.hu[around.labels == Label.LOBE_LEFT_UPPER] = hu
    if kept:
        assert around.check() == hu
    else:
        with pytest.raises(rules.Rejected, match="local_lung_hu"):
            around.check()


def test_distances_to_slices_and_nodules():
    ct = Volume.from_spacing(np.zeros((60, 4, 4), np.int16), (2.0,) * 3)  # slices at 0..118 mm

    def check(z, diameter=10.0, taken=()):
        rules.check_distances(ct, np.array([0.0, 0.0, z]), diameter, taken, 10.0)

    check(10.1)
    check(107.9)
    check(30.0, 40.0)
    for z, diameter in ((9.9, 10.0), (108.1, 10.0), (21.0, 40.0)):  # a large one keeps its radius and 2 mm
        with pytest.raises(rules.Rejected, match="near_first_or_last_slice"):
            check(z, diameter)
    other = [(np.array([0.0, 0.0, 60.0]), 20.0)]
    check(60 + 1.5 * 15 + 0.1, 10.0, other)
    with pytest.raises(rules.Rejected, match="near_another_nodule"):
        check(60 + 1.5 * 15 - 0.1, 10.0, other)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"volume_mm3": pi / 6 * 1000 * 1.021}, "volume_error"),
        ({"volume_mm3": pi / 6 * 1000 * 0.979}, "volume_error"),
        ({"delta_hu_ratio": 0.79}, "too_little_hu_added"),
    ],
)
def test_what_comes_out_is_what_was_asked_for(sample, changed, reason):
    good = dataclasses.replace(sample.nodules[0].measures, volume_mm3=pi / 6 * 1000 * 1.019, delta_hu_ratio=0.81)
    rules.check_measures(good, 10.0, 0.02)
    with pytest.raises(rules.Rejected, match=reason):
        rules.check_measures(dataclasses.replace(good, **changed), 10.0, 0.02)


def test_half_of_a_nodule_lies_in_the_zones_asked_for():
    rules.check_zones({"free": 0.49, "hilar": 0.51}, {"hilar": 0.1, "apical": 1.0})
    rules.check_zones({"free": 1.0}, None)
    with pytest.raises(rules.Rejected, match="zone_not_reached"):
        rules.check_zones({"free": 0.51, "hilar": 0.49}, {"hilar": 1.0, "free": 0.0})


def test_the_voxels_of_the_ct_hold_the_nodule_where_its_grid_has_it(case, sample):
    ct = case[0]
    for patch in sample.patches:
        rules.check_insertion(ct, patch)
        middle = int(ct.to_index(patch.grid.center_world_mm)[0])
        with pytest.raises(rules.Rejected, match="centroid_shifted"):  # a CT that ends in the middle of the nodule
            rules.check_insertion(Volume(ct.values[:middle], ct.world_from_index), patch)
        with pytest.raises(rules.Rejected, match="centroid_shifted"):
            rules.check_insertion(Volume(ct.values[:2], ct.world_from_index), patch)


def test_without_views_a_nodule_shows_straight_through(sample):
    patch = sample.patches[0]
    assert rules.check_straight(patch) is None
    faint = dataclasses.replace(patch, hu_after=patch.hu_before + 0.01 * patch.delta_hu)
    assert rules.check_straight(faint) == "invisible"


def test_each_rejection_is_counted_by_its_reason(case):
    asked = []

    def check(patch, others):
        asked.append(len(others))
        return ("first", "second", "first")[len(asked) - 1] if len(asked) <= 3 else None

    alone = SampleNodulesSettings(juxtapleural_share=0.0, juxtavascular_share=0.0, num_nodules=2, **QUICK)
    result = sample_nodules(*case, alone, 4, check=check)
    assert (result.rejections["first"], result.rejections["second"]) == (2, 1)
    assert asked == [0, 0, 0, 0, 1], "the second nodule is checked beside the first"
    assert sum(n.num_attempts - 1 for n in result.nodules) == sum(result.rejections.values())
    assert list(result.rejections) == sorted(result.rejections)


@pytest.mark.parametrize("attachment", ["juxtapleural", "juxtavascular"])
def test_an_attachment_without_room_is_given_up_and_counted(attachment):
    shares = {"juxtapleural_share": 0.0, "juxtavascular_share": 0.0, f"{attachment}_share": 1.0}
    ct, anatomy = make_case(vessel=False)
    if attachment == "juxtapleural":
        # All of the rim is vessel: there is no lobe where the centre could be.
        rim = anatomy.lung & (make_lung_depth_mm(anatomy) < 9)
        labels = np.where(rim, Label.VESSEL_RIGHT, anatomy.labels.values).astype(np.uint8)
        anatomy = Anatomy(anatomy.labels.with_values(labels))
    settings = SampleNodulesSettings(**QUICK, **shares, max_attempts=400)
    result = sample_nodules(ct, anatomy, settings, 3)
    assert result.nodules[0].attachment == "isolated"
    assert result.rejections[f"no_room_{attachment}"] == 1


def make_lung_depth_mm(anatomy):
    return distance_transform_edt(anatomy.lung, sampling=anatomy.labels.spacing_mm)


def test_a_lung_too_small_for_a_nodule_is_refused():
    tiny = make_case(lung_mm=(9.0, 9.0, 30.0), vessel=False)
    with pytest.raises(CaseRefused, match=r"room for a diameter|no_room_in_lung") as error:
        sample_nodules(*tiny, SampleNodulesSettings(diameter_min_mm=18.0, min_diameter_slices=1.0), 0)
    assert error.value.code == "NO_PLACE"


def test_real_nodules_are_kept_away_from(case):
    settings = SampleNodulesSettings(lobe_weights="uniform", max_attempts=2000, **QUICK)
    known = [((-45.0, 0.0, z), 24.0) for z in (-30.0, 20.0)] + [((45.0, 0.0, -20.0), 24.0)]
    rejected = 0
    for seed in range(4):
        result = sample_nodules(*case, settings, seed, known=known)
        rejected += result.rejections.get("near_another_nodule", 0)
        for center, diameter in known:
            apart = np.linalg.norm(np.array(result.nodules[0].center_world_mm) - center)
            assert apart >= 0.75 * (diameter + result.nodules[0].diameter_mm)
    assert rejected > 0


def test_the_number_of_nodules_may_be_drawn():
    settings = SampleNodulesSettings(num_nodules=1, num_nodules_max=3)
    counts = Counter(draw_count(settings, seed) for seed in range(600))
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 160
    assert {draw_count(SampleNodulesSettings(num_nodules=2), seed) for seed in range(20)} == {2}
    with pytest.raises(DrrxError, match=r"num_nodules_max: found 1 with num_nodules 2; needed 2 to 3.*smaller"):
        draw_count(SampleNodulesSettings(num_nodules=2, num_nodules_max=1), 0)


def test_a_drawn_number_of_nodules_is_placed(case):
    settings = SampleNodulesSettings(num_nodules_max=2, **QUICK)
    for seed in range(3):
        assert len(sample_nodules(*case, settings, seed).nodules) == draw_count(settings, seed)
