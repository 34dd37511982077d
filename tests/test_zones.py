"""What lies over a place in a frontal view, and how often nodules come to lie there."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2

from drrx.errors import CaseRefused
from drrx.nodule.labels import IS_LEFT, IS_LOBE, IS_LUNG, IS_RIGHT
from drrx.nodule.lung_map import make_lung_map
from drrx.nodule.place import Candidates, find_allowed
from drrx.nodule.regions import MALIGNANT_SHARES, make_regions, split_lung
from drrx.nodule.sample import sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.zones import ZONES
from drrx.records.anatomy import Anatomy, Label
from drrx.records.patch import NodulePatch
from drrx.volume import Volume
from tests.chests import STEP, make_chest

PLAIN = {"blur": "fixed", "texture": False, "strands": False, "margin": "smooth"}


@pytest.fixture(scope="module")
def labels():
    return make_chest()


@pytest.fixture(scope="module")
def lungs(labels):
    return make_lung_map(Anatomy(labels))


@pytest.fixture(scope="module")
def ct(labels):
    hu = np.select([labels.values == Label.OUTSIDE, IS_LUNG[labels.values]], [-1000, -860], 40)
    hu[labels.values == Label.AIRWAY] = -1000
    return labels.with_values(hu.astype(np.int16))


def zone_centers_mm(lungs, zone):
    """World x and z of the lung columns of a zone."""
    z, x = np.nonzero((lungs.zones.zones == ZONES.index(zone)) & IS_LUNG[lungs.labels.values].any(axis=1))
    world = lungs.labels.to_world(np.stack([z, np.zeros_like(z), x], axis=1))
    return world[:, 0], world[:, 2]


def test_zones_lie_where_their_names_say(lungs):
    used = lungs.labels.to_world(np.argwhere(IS_LUNG[lungs.labels.values]))[:, 2]
    x, z = zone_centers_mm(lungs, "apical")
    assert z.min() == pytest.approx(used.max() - 0.12 * np.ptp(used), abs=STEP)
    assert x.min() < 0 < x.max()
    x, _ = zone_centers_mm(lungs, "retrocardiac")
    assert x.mean() > 5, "the heart leans to the left"
    assert np.abs(x).max() < 85
    x, z = zone_centers_mm(lungs, "subdiaphragm")
    assert np.quantile(z, 0.99) < -35, "under the tops of the domes"
    assert np.abs(x).mean() > 40
    x, z = zone_centers_mm(lungs, "hilar")
    assert -45 < z.min() < z.max() < 40
    assert np.abs(x).max() <= 81
    x, z = zone_centers_mm(lungs, "free")
    assert np.median(np.abs(x)) > 70


def test_zones_are_paths_through_the_label_map(labels, lungs):
    """Ask the full label map column by column; what is in no other zone is free."""
    rng, seen = np.random.default_rng(3), Counter()
    for _ in range(400):
        row = np.array([rng.integers(96), 0, rng.integers(120)])
        center = labels.to_world(row)
        column = labels.values[row[0], :, row[2]]
        if not IS_LUNG[column].any():
            continue
        zone = lungs.zones.zone_at(center)
        above, below = labels.values[row[0] :, :, row[2]], labels.values[: row[0] + 1, :, row[2]]
        under = IS_LUNG[above].any(axis=0) & ~IS_LUNG[below].any(axis=0) & (column == Label.BODY)
        heart_mm, belly_mm = (column == Label.MEDIASTINUM).sum() * STEP, under.sum() * STEP
        if zone == "retrocardiac":
            assert heart_mm > 40
        if zone == "subdiaphragm":
            assert heart_mm <= 40 < belly_mm + 20
        if zone in ("hilar", "free"):
            assert max(heart_mm, belly_mm + 20) <= 40
        seen[zone] += 1
    assert set(seen) == set(ZONES), "every zone was looked at"


def test_a_ball_on_a_border_lies_half_in_either_zone(lungs):
    z, x = zone_centers_mm(lungs, "apical")[::-1]
    left = x > 0
    border, middle = z[left].min() - STEP / 2, float(np.median(x[left]))
    grid = np.mgrid[:41, :41, :41] * 0.35 - 7.0
    ball = ((grid**2).sum(axis=0) < 49).astype(np.float32)
    origin = np.array([middle - 7, -7, border - 7])
    patch = NodulePatch(ball, ball * 0, ball, Volume.from_spacing(ball, (0.35,) * 3, tuple(origin)).world_from_index)
    shares = lungs.zones.fractions(patch)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["apical"] == pytest.approx(0.5, abs=0.04)
    assert lungs.zones.zone_at(origin + 7 + [0, 0, 3]) == "apical"
    assert lungs.zones.zone_at(origin + 7 - [0, 0, 3]) != "apical"


def chi_square(counts, shares):
    total = sum(counts.values())
    assert set(counts) <= set(shares)
    return sum((counts[k] - total * p) ** 2 / (total * p) for k, p in shares.items())


def draw_many(candidates, count=4000, seed=0):
    rng = np.random.default_rng(seed)
    return [candidates.draw(rng) for _ in range(count)]


def test_zones_are_drawn_by_weight_times_volume(lungs):
    weights = {"apical": 3.0, "hilar": 1.0, "retrocardiac": 0.5, "free": 0.25}
    candidates = Candidates(lungs, 5.0, "isolated", "uniform", weights)
    allowed = find_allowed(lungs, 5.0, "isolated") & IS_LOBE[lungs.labels.values]
    over = np.broadcast_to(lungs.zones.zones[:, None, :], allowed.shape)[allowed]
    parts = {zone: w * (over == ZONES.index(zone)).sum() for zone, w in weights.items()}
    shares = {zone: part / sum(parts.values()) for zone, part in parts.items()}
    assert min(shares.values()) > 0.01
    counts = Counter(lungs.zones.zone_at(center) for center, _, _ in draw_many(candidates))
    assert "subdiaphragm" not in counts
    assert chi_square(counts, shares) < chi2.ppf(0.999, 3)


def test_lobes_are_drawn_by_their_shares(lungs):
    counts = Counter(lobe for _, lobe, _ in draw_many(Candidates(lungs, 5.0, "isolated", "malignant")))
    there = {k: v for k, v in MALIGNANT_SHARES.items() if k != Label.LOBE_RIGHT_MIDDLE}  # not in this chest
    assert chi_square(counts, {k: v / sum(there.values()) for k, v in there.items()}) < chi2.ppf(0.999, 3)


def test_twelve_regions_are_drawn_by_their_shares(lungs):
    table = {"right": (136, 142, 46, 93, 110, 70), "left": (77, 49, 44, 102, 48, 83)}  # docs/nodules.md, per mille
    shares = {f"{side} {i}": share / 1000 for side, row in table.items() for i, share in enumerate(row)}
    assert sum(shares.values()) == pytest.approx(1)
    used = {side: lungs.labels.to_world(np.argwhere(table[lungs.labels.values])) for side, table in
            (("right", IS_RIGHT), ("left", IS_LEFT))}  # fmt: skip

    def region_of(center):
        """Tell the region from the lung's voxels in the world, by the words of the documentation."""
        side = "right" if center[0] < 0 else "left"
        x, y, z = used[side].T
        height = (center[2] - z.min()) / (z.max() - z.min())
        if height > 0.75 or height < 0.25:
            return f"{side} {0 if height > 0.75 else 5}"
        level = np.abs(z - center[2]) <= STEP / 2 + 1e-6
        depth = (center[1] - y[level].min()) / np.ptp(y[level])
        across = (center[0] - x[level].min()) / np.ptp(x[level])
        if not 1 / 3 <= depth <= 2 / 3:
            return f"{side} {1 if depth < 1 / 3 else 4}"
        return f"{side} {2 if (across > 0.5) == (side == 'right') else 3}"

    draws = draw_many(Candidates(lungs, 5.0, "isolated", "missed_ct"))
    on_grid = [lungs.labels.to_world(np.rint(lungs.labels.to_index(center))) for center, _, _ in draws]
    assert chi_square(Counter(map(region_of, on_grid)), shares) < chi2.ppf(0.999, 11)


def test_left_regions_mirror_the_right_ones(lungs):
    right = IS_RIGHT[lungs.labels.values]
    regions = split_lung(right, medial_is_last=True)
    assert ((regions >= 0) == right).all()
    assert set(np.unique(regions[right])) == set(range(6))
    np.testing.assert_array_equal(split_lung(right[:, :, ::-1], medial_is_last=False), regions[:, :, ::-1])
    assert (split_lung(np.zeros((3, 3, 3), bool), True) == -1).all()


@pytest.mark.parametrize("weights", ["malignant", "uniform", "missed_ct"])
def test_regions_are_lobes_of_the_lung_and_their_shares_add_up(lungs, weights):
    regions, shares = make_regions(weights, lungs.labels.values)
    assert sum(shares.values()) == pytest.approx(1)
    np.testing.assert_array_equal(regions > 0, IS_LOBE[lungs.labels.values])
    assert set(np.unique(regions)) - {0} <= set(shares)


def test_the_share_of_the_outer_two_thirds(lungs):
    lobes = IS_LOBE[lungs.labels.values]
    # The inner third of the way holds 1/27 of a star-shaped lung.
    assert 0.93 < lungs.is_outer[lobes].mean() < 0.98
    for share in (0.85, 0.5, None):
        candidates = Candidates(lungs, 3.0, "isolated", "uniform", None, share)
        index = np.rint(lungs.labels.to_index(np.array([c for c, _, _ in draw_many(candidates)]))).astype(int)
        allowed = find_allowed(lungs, 3.0, "isolated") & lobes
        expected = lungs.is_outer[allowed].mean() if share is None else share
        assert lungs.is_outer[tuple(index.T)].mean() == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("preset", ["visible", "hidden"])
def test_presets_land_in_their_zones(ct, labels, preset):
    settings = SampleNodulesSettings(preset=preset, diameter_min_mm=8.0, diameter_max_mm=14.0, **PLAIN)
    zones = Counter()
    for seed in range(6):
        (nodule,) = sample_nodules(ct, Anatomy(labels), settings, seed).nodules
        zones[nodule.zone] += 1
        free = nodule.measures.zone_fractions.get("free", 0.0)
        assert free >= 0.5 if preset == "visible" else free <= 0.5
        assert sum(nodule.measures.zone_fractions.values()) == pytest.approx(1)
    # A centre may lie a voxel beyond the border, never the larger part of the nodule.
    assert zones["free"] >= 5 if preset == "visible" else zones["free"] <= 1


def test_weights_beat_the_preset_and_zones_without_room_are_named(ct, labels):
    settings = SampleNodulesSettings(preset="visible", zone_weights={"apical": 1.0}, diameter_max_mm=11.0, **PLAIN)
    assert sample_nodules(ct, Anatomy(labels), settings, 1).nodules[0].zone == "apical"
    nowhere = SampleNodulesSettings(zone_weights={"apical": 0.0}, juxtapleural_share=0.0, juxtavascular_share=0.0)
    with pytest.raises(CaseRefused, match="no_room_in_zones 1") as error:
        sample_nodules(ct, Anatomy(labels), nowhere, 1)
    assert error.value.code == "NO_PLACE"
    with pytest.raises(ValueError, match="zone_weights"):
        SampleNodulesSettings(zone_weights={"paracardiac": 1.0})
    with pytest.raises(ValueError, match="zone_weights"):
        SampleNodulesSettings(zone_weights={"apical": -1.0})


def test_without_airways_the_hila_are_looked_for_by_height(labels, lungs):
    values = np.where(labels.values == Label.AIRWAY, Label.BODY, labels.values).astype(np.uint8)
    bare = make_lung_map(Anatomy(labels.with_values(values)))
    z = [m.labels.to_world(np.array([m.zones.hilum_slice, 0, 0]))[2] for m in (bare, lungs)]
    assert z[0] == pytest.approx(z[1], abs=20)
