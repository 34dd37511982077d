"""The check after projection: a nodule shows in every view of its case, or it gets another place."""

import json
from dataclasses import replace
from math import pi

import numpy as np
import pytest

from drrx.annotate.check import is_near_border
from drrx.annotate.mask import box_of
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.config import load_config, stage_settings
from drrx.errors import CaseRefused
from drrx.geometry import Pose, ViewName
from drrx.io.cohort import CohortRow
from drrx.nodule.sample import sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.projector.jitter import draw_pose
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.window import make_view
from drrx.radiograph.beam import Beam
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.patch import NodulePatch
from drrx.stages.batch import CaseJob
from drrx.stages.compose_drr import project_patches
from drrx.stages.layout import CaseFolder
from drrx.stages.project_ct import make_case_view
from drrx.stages.sample_nodules import make_view_check
from drrx.stages.view_check import ViewCheck, project_footprint, share_covered
from drrx.volume import Volume
from tests.chests import make_case

QUICK = {"preset": "screening", "diameter_max_mm": 12.0, "blur": "fixed", "texture": False, "strands": False}
LIMITS = AnnotateCxrSettings()
CT = Volume.from_spacing(np.zeros((90, 75, 100), np.int16), (2.0, 2.0, 2.0), (-100.0, -75.0, -90.0))
GEOMETRY = ProjectCtSettings(size_px=256, detector_mm=240.0)


def make_ball(center_mm, radius_mm=5.0, hu=40.0, spacing=0.5):
    """A ball of one HU in lung of -850 HU."""
    count = 2 * int(np.ceil(radius_mm / spacing)) + 3
    axis = (np.arange(count) - (count - 1) / 2) * spacing
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    share = np.clip((radius_mm - np.sqrt(x**2 + y**2 + z**2)) / spacing + 0.5, 0, 1).astype(np.float32)
    before = np.full_like(share, -850)
    volume = Volume.from_spacing(share, (spacing,) * 3, tuple(np.asarray(center_mm) + axis[0]))
    return NodulePatch(share, before, before + share * np.float32(hu + 850), volume.world_from_index)


def view_of(name="pa", pose=None, geometry=GEOMETRY):
    return make_view(CT, geometry, ViewName.parse(name), pose or Pose())


@pytest.mark.parametrize("name", ["pa", "ap", "lateral"])
def test_paths_are_those_of_the_radiograph_and_contrast_is_never_more(name):
    view, patch = view_of(name), make_ball((30, 10, 25), hu=500.0)
    (exact,) = project_patches([patch], view)
    shown = project_footprint(patch, view)
    np.testing.assert_array_equal(shown.path_mm, exact.path_mm)
    assert (shown.row, shown.column) == (exact.window[0].start, exact.window[1].start)
    for water_mm, bone_mm in ((0, 0), (80, 5), (250, 40), (600, 150)):
        bases = [np.full(shown.path_mm.shape, float(mm)) for mm in (water_mm, bone_mm)]
        for settings in (ComposeDrrSettings(), ComposeDrrSettings(beam="monoenergetic")):
            beam = Beam.from_settings(settings)
            thicker = (bases[0] + exact.water_mm, bases[1] + exact.bone_mm)
            delta = beam.attenuate(*thicker) - beam.attenuate(*bases)
            assert (shown.contrast <= delta + 1e-6).all()
            assert shown.contrast.max() > 0.5 * delta.max()


def test_contrast_of_a_ball_is_its_diameter():
    shown = project_footprint(make_ball((0, 0, 0), radius_mm=6.0, hu=0.0), view_of())
    line = Beam.from_settings(ComposeDrrSettings()).lines[-1]
    assert shown.contrast.max() == pytest.approx(12 * 0.85 * line.mu_water_per_mm, rel=0.02)
    assert shown.path_mm.max() == pytest.approx(12, rel=0.02)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_box_near_the_border_is_outside(axis, side):
    view, check = view_of(), ViewCheck([view_of()], LIMITS)
    # The box may come as near as 2 % of 256 pixels; at the middle of the CT the detector shows 240 mm / 1.125.
    limit_mm = 0.48 * 240 / 1.125 - 5.0
    for off_mm, reason in ((limit_mm - 1.5, None), (limit_mm + 1.5, "outside_view"), (140.0, "outside_view")):
        center = CT.center_world_mm.copy()
        center[axis] += side * off_mm
        patch = make_ball(center)
        assert check(patch, ()) == reason
        if reason is None:  # the exact box of the annotation agrees
            (exact,) = project_patches([patch], view)
            x, y, w, h = box_of(exact.path_mm > LIMITS.full_path_mm)
            box = (x + exact.window[1].start, y + exact.window[0].start, w, h)
            assert not is_near_border(box, view.shape, LIMITS.edge_fraction)


def test_a_jittered_view_counts_as_it_will_be_projected():
    center = CT.center_world_mm + np.array([80.0, 0, 0])
    shifted = view_of("pa_1", Pose(shift_column_mm=25.0))
    assert ViewCheck([view_of()], LIMITS)(make_ball(center), ()) is None
    assert ViewCheck([view_of(), shifted], LIMITS)(make_ball(center), ()) == "outside_view"
    assert ViewCheck([view_of(), shifted], LIMITS)(make_ball(center - np.array([25.0, 0, 0])), ()) is None


def test_too_faint_is_invisible_unless_that_is_allowed():
    faint, plain = make_ball((0, 0, 0), 2.0, hu=-750.0), make_ball((0, 0, 0), 2.0, hu=0.0)
    check = ViewCheck([view_of()], LIMITS)
    assert project_footprint(faint, view_of()).contrast.max() == pytest.approx(0.0068, rel=0.1)
    assert check(faint, ()) == "invisible_in_view"
    assert check(plain, ()) is None
    assert ViewCheck([view_of()], AnnotateCxrSettings(min_delta_log_peak=0.0))(faint, ()) is None


def test_nodules_may_not_hide_each_other_in_any_view():
    left, right = make_ball((-30, 0, 0)), make_ball((30, 0, 0))
    assert ViewCheck([view_of("pa")], LIMITS)(left, [right]) is None
    assert ViewCheck([view_of("pa"), view_of("lateral")], LIMITS)(left, [right]) == "overlaps_in_view"
    assert ViewCheck([view_of("lateral")], LIMITS, known=[right])(left, ()) == "overlaps_in_view"
    assert ViewCheck([view_of("lateral")], LIMITS)(make_ball((-30, 0, 20)), [right]) is None


def test_share_covered_is_that_of_two_discs():
    view = view_of()
    middle = CT.center_world_mm
    for apart in (0.0, 4.0, 7.0, 9.0, 12.0):
        pair = [
            project_footprint(make_ball(middle + np.array([x, 0, 0]), 6.0, spacing=0.35), view) for x in (0.0, apart)
        ]
        # The mask ends where the chord is 20 % of the diameter.
        radius = 6.0 * np.sqrt(1 - 0.2**2)
        half = min(1.0, apart / 2 / radius)
        lens = (2 * np.arccos(half) - 2 * half * np.sqrt(1 - half**2)) / pi
        assert share_covered(*pair, 0.2) == pytest.approx(lens, abs=0.04)
    small = project_footprint(make_ball(middle + np.array([0, 20, 0]), 2.5), view)
    assert share_covered(pair[0], small, 0.2) == 1.0, "of the smaller one"


@pytest.mark.parametrize(("apart_mm", "reason"), [(9.0, None), (7.0, "overlaps_in_view")])  # 13 % and 29 % covered
def test_a_fifth_of_the_smaller_mask_may_be_covered(apart_mm, reason):
    pair = [make_ball(CT.center_world_mm + np.array([x, 0, 0]), 6.0) for x in (0.0, apart_mm)]
    assert ViewCheck([view_of()], LIMITS)(pair[0], [pair[1]]) == reason


def test_footprints_of_nodules_that_stay_are_made_once(monkeypatch):
    asked = []

    def count(patch, view):
        asked.append((id(patch), view.name))
        return project_footprint(patch, view)

    monkeypatch.setattr("drrx.stages.view_check.project_footprint", count)
    check, stays = ViewCheck([view_of("pa"), view_of("lateral")], LIMITS), make_ball((-40, 0, 0))
    tried = [make_ball((40, y, 30)) for y in (0, 5, 10)]
    assert [check(patch, [stays]) for patch in tried] == [None] * 3
    assert asked.count((id(stays), "pa")) == asked.count((id(stays), "lateral")) == 1
    assert len(asked) == 2 * (1 + 3)


def test_the_stage_looks_through_the_views_that_will_be_projected(tmp_path):
    config = load_config({"views": ["pa", "pa_1", "lateral_2"], "project_ct": {"size_px": 300, "device": "cuda"}})
    row = CohortRow(case="one", path="/one.nii.gz", cohort="a")
    jobs = [
        CaseJob(row, CaseFolder(tmp_path, "one"), json.loads(stage_settings(config, stage)), seed=5)
        for stage in ("sample_nodules", "project_ct")
    ]
    check, geometry = make_view_check(jobs[0], CT), config.project_ct
    for view, name in zip(check.views, config.views, strict=True):
        projected, pose = make_case_view(jobs[1], CT, geometry, ViewName.parse(name))
        assert view.to_json() == projected.to_json()
        assert (pose == Pose()) == (name == "pa")
    other = make_view_check(replace(jobs[0], seed=6), CT)
    assert other.views[0].to_json() == check.views[0].to_json()
    assert other.views[1].to_json() != check.views[1].to_json()


@pytest.fixture(scope="module")
def tight():
    """A chest, and a jittered view with a detector so small that it cuts off a part of the lungs."""
    case = make_case()
    geometry = ProjectCtSettings(size_px=200, detector_mm=130.0, jitter_shift_mm=15.0)
    names = ["pa", "pa_1", "pa_2"]
    poses = [Pose(), *(draw_pose(geometry, seed) for seed in (1, 2))]
    return case, [make_view(case[0], geometry, ViewName.parse(n), p) for n, p in zip(names, poses, strict=True)]


def test_what_a_jittered_view_cuts_off_gets_another_place(tight):
    (ct, anatomy), views = tight
    settings = SampleNodulesSettings(num_nodules=2, lobe_weights="uniform", **QUICK)
    rejected = missed = 0
    for seed in range(4):
        sample = sample_nodules(ct, anatomy, settings, seed, check=ViewCheck(views, LIMITS))
        rejected += sample.rejections.get("outside_view", 0)
        assert sum(n.num_attempts - 1 for n in sample.nodules) == sum(
            count for reason, count in sample.rejections.items() if not reason.startswith("no_room")
        )
        for view in views:
            for exact in project_patches(sample.patches, view):
                full = exact.path_mm > max(LIMITS.full_path_mm, LIMITS.full_fraction * exact.path_mm.max())
                x, y, w, h = box_of(full)
                box = (x + exact.window[1].start, y + exact.window[0].start, w, h)
                assert not is_near_border(box, view.shape, LIMITS.edge_fraction)
        blind = sample_nodules(ct, anatomy, settings, seed)
        missed += any(ViewCheck(views, LIMITS)(patch, ()) for patch in blind.patches)
    assert rejected > 0
    assert missed > 0, "without the check some of these cases would have failed later"


def test_a_case_whose_views_show_no_lung_is_refused_with_counts(tight):
    (ct, anatomy), _ = tight
    far = make_view(ct, ProjectCtSettings(size_px=64, detector_mm=20.0, detector_offset_mm=(0.0, 500.0)))
    settings = SampleNodulesSettings(max_attempts=5, juxtapleural_share=0.0, juxtavascular_share=0.0, **QUICK)
    with pytest.raises(CaseRefused, match=r"in 5 tries \(.*outside_view [1-5]") as error:
        sample_nodules(ct, anatomy, settings, 2, check=ViewCheck([far], LIMITS))
    assert error.value.code == "NO_PLACE"
