"""A phantom is a chest: everything lies where it lies in a patient, and a seed draws it again."""

import argparse
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label as find_parts

from drrx.cli import make_phantom as command
from drrx.errors import DrrxError
from drrx.io.nifti import read_volume
from drrx.phantom.cage import dome_height, rib_height
from drrx.phantom.field import FieldGrid, smooth_min
from drrx.phantom.physique import draw_physique
from drrx.phantom.ribs import rib_path
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.phantom.tree import grow_tree
from drrx.records.anatomy import LEFT_LUNG, RIGHT_LUNG, Label
from drrx.seeds import make_rng

COARSE = MakePhantomSettings(in_plane_mm=4.0, slice_mm=4.0)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, COARSE)


@pytest.fixture(scope="module")
def quiet():
    return make_phantom(3, replace(COARSE, noise_sd_hu=0.0))


def mean_world(phantom, mask):
    return phantom.ct.to_world(np.argwhere(mask).mean(axis=0))


def test_the_same_seed_draws_the_same_voxels_and_another_does_not(phantom):
    again, other = make_phantom(3, COARSE), make_phantom(4, COARSE)
    assert again.ct.values.tobytes() == phantom.ct.values.tobytes()
    assert again.anatomy.labels.values.tobytes() == phantom.anatomy.labels.values.tobytes()
    assert np.array_equal(again.ct.world_from_index, phantom.ct.world_from_index)
    assert other.ct.values.tobytes() != phantom.ct.values.tobytes()


def test_code_just_compiled_draws_the_same_voxels_as_code_compiled_before(tmp_path):
    # Seed and grid at which kernels compiled with `fastmath` differed by 1 HU in one voxel.
    draw = [sys.executable, "-m", "drrx", "make-phantom", "--seed", "2", "--in-plane-mm", "3.5", "--slice-mm", "5"]
    for name in ("compiled", "cached"):
        subprocess.run(
            [*draw, "--output", str(tmp_path / f"{name}.nii.gz")], check=True, capture_output=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")},
        )  # fmt: skip
    assert list((tmp_path / "numba").rglob("raster.paint_fields*.nbc"))
    assert (tmp_path / "compiled.nii.gz").read_bytes() == (tmp_path / "cached.nii.gz").read_bytes()


def test_it_is_a_canonical_ct_that_covers_a_film(phantom):
    assert phantom.ct.values.dtype == np.int16
    affine = phantom.ct.world_from_index
    assert affine[2, 0] == 4.0
    assert affine[1, 1] == 4.0
    assert affine[0, 2] == 4.0
    depth, _, width = (n * s for n, s in zip(phantom.ct.shape, phantom.ct.spacing_mm, strict=True))
    assert depth >= 400
    assert width >= 420


def test_right_is_right_and_left_is_left(phantom):
    anatomy = phantom.anatomy
    assert mean_world(phantom, anatomy.mask(*RIGHT_LUNG))[0] < -40
    assert mean_world(phantom, anatomy.mask(*LEFT_LUNG))[0] > 40
    # The heart lies to the left, so the right lung is the larger one and the right dome the higher one.
    assert 1.03 < phantom.facts["lung_volume_right_l"] / phantom.facts["lung_volume_left_l"] < 1.45
    mediastinum = anatomy.mask(Label.MEDIASTINUM)
    lung_floor = int(np.argwhere(anatomy.lung)[:, 0].min())
    heart = mediastinum[lung_floor + 20 : lung_floor + 30]
    assert heart[:, :, heart.shape[2] // 2 :].sum() > 1.25 * heart[:, :, : heart.shape[2] // 2].sum()
    physique = draw_physique(make_rng(1), "drawn")
    right, left = dome_height(physique, np.array([-56.0, 56.0]), np.array([-84.0, -84.0]))
    assert right > left


def test_gas_of_the_stomach_lies_on_the_left_below_the_lung_and_liver_is_solid_on_the_right(phantom):
    values, labels = phantom.ct.values, phantom.anatomy.labels.values
    gas = (values < -700) & (labels == Label.BODY)
    parts, count = find_parts(gas)
    assert count
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    bubble = mean_world(phantom, largest)
    left_base = mean_world(phantom, phantom.anatomy.mask(Label.LOBE_LEFT_LOWER))
    assert bubble[0] > 20
    assert bubble[2] < left_base[2]
    mirrored = phantom.ct.to_index(bubble * [-1, 1, 1] - [0, 0, 25])
    liver = values[tuple(slice(int(i) - 3, int(i) + 4) for i in mirrored)]
    assert 30 < np.median(liver) < 90


def test_the_spine_is_at_the_back_and_the_sternum_in_front(phantom):
    bone = phantom.anatomy.mask(Label.BONE)
    slices, rows, columns = phantom.ct.shape
    middle = bone[slices // 3 : slices // 2, :, columns // 2 - 4 : columns // 2 + 5]
    profile = middle.sum(axis=(0, 2))
    body = np.flatnonzero(phantom.anatomy.body[slices // 2].any(axis=1))
    assert profile[(body[0] + body[-1]) // 2 :].sum() > 5 * profile[: (body[0] + body[-1]) // 2].sum() > 0
    assert rows > body[-1]


def test_the_head_is_up(phantom):
    # Lung sections grow from the apex downwards, and the arms, apart from the neck, are in the top slices.
    area = phantom.anatomy.lung.sum(axis=(1, 2))
    filled = np.flatnonzero(area)
    assert area[filled[-1] - 3] < 0.35 * area.max()
    parts, count = find_parts(phantom.anatomy.body[-2])
    sizes = np.bincount(parts.ravel())[1:]
    assert count >= 3
    assert (sizes > 60).sum() == 3


@pytest.mark.parametrize("seed", [5, 8])
def test_lungs_have_an_adult_volume_and_both_sides_are_one_piece(seed):
    facts = (drawn := make_phantom(seed, COARSE)).facts
    assert 3.0 < facts["lung_volume_right_l"] + facts["lung_volume_left_l"] < 7.0
    for side in (RIGHT_LUNG, LEFT_LUNG):
        parts, _ = find_parts(drawn.anatomy.mask(*side))
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() > 0.995 * sizes.sum()


def test_labels_agree_with_hu(phantom):
    values, anatomy = phantom.ct.values, phantom.anatomy
    assert values.min() >= -1024
    assert values.max() <= 3071
    for lobe in (x for x in Label if x.name.startswith("LOBE")):
        assert -900 < np.median(values[anatomy.mask(lobe)]) < -780
    assert 15 < np.median(values[anatomy.mask(Label.MEDIASTINUM)]) < 60
    assert np.median(values[anatomy.mask(Label.BONE)]) > 150
    assert np.median(values[anatomy.mask(Label.VESSEL_LEFT, Label.VESSEL_RIGHT)]) > -300
    assert np.median(values[~anatomy.body]) < -980


def test_the_lung_is_denser_at_the_back(phantom):
    lobe = np.argwhere(phantom.anatomy.mask(Label.LOBE_RIGHT_LOWER, Label.LOBE_RIGHT_UPPER))
    values = phantom.ct.values[tuple(lobe.T)]
    row = lobe[:, 1]
    front, back = (np.median(values[(row >= a) & (row <= b)]) for a, b in _thirds(row))
    assert 10 < back - front < 120


def _thirds(row):
    low, high = np.percentile(row, [5, 95])
    return (low, low + (high - low) / 3), (high - (high - low) / 3, high)


def test_the_table_is_under_the_back_and_outside_the_body(quiet):
    table = (quiet.ct.values > -900) & ~quiet.anatomy.body
    rows = np.arange(quiet.ct.shape[1])[None, :, None]
    back = np.where(quiet.anatomy.body, rows, 0).max()
    strip = table[:, :, quiet.ct.shape[2] // 2]
    assert strip.any(axis=1).all()
    assert np.nonzero(strip)[1].max() > back


def test_noise_has_the_standard_deviation_asked_for(phantom, quiet):
    difference = phantom.ct.values.astype(float) - quiet.ct.values
    middle = slice(phantom.ct.shape[0] // 3, phantom.ct.shape[0] // 2)
    inside = phantom.anatomy.body[middle]
    assert difference[middle][inside].std() == pytest.approx(COARSE.noise_sd_hu, rel=0.15)
    assert difference[middle][~inside].std() < 0.7 * COARSE.noise_sd_hu
    assert np.array_equal(phantom.anatomy.labels.values, quiet.anatomy.labels.values)


def test_the_anatomy_does_not_depend_on_the_grid(phantom):
    finer = make_phantom(3, MakePhantomSettings(in_plane_mm=3.0, slice_mm=3.0))
    for key in ("lung_volume_right_l", "lung_volume_left_l"):
        assert finer.facts[key] == pytest.approx(phantom.facts[key], rel=0.03)


def test_both_sexes_occur_and_one_can_be_asked_for():
    assert {draw_physique(make_rng(seed), "drawn").sex for seed in range(12)} == {"female", "male"}
    drawn, asked = draw_physique(make_rng(5), "drawn"), draw_physique(make_rng(5), "female")
    assert asked.sex == "female"
    assert asked.age == drawn.age


def test_a_physique_places_points_and_finds_them_again():
    physique = draw_physique(make_rng(9), "male")
    points = make_rng(1).uniform([-150, -180, -200], [150, 40, 150], (50, 3))
    world = physique.place(points)
    back = np.stack(physique.to_reference(world[:, 0], world[:, 1], world[:, 2]), axis=1)
    assert np.allclose(back, points, atol=1e-6)


def test_ribs_run_sideways_and_down_and_are_mirrored():
    physique = draw_physique(make_rng(2), "male")
    for rib in range(12):
        left, right = rib_path(physique, rib, 1.0), rib_path(physique, rib, -1.0)
        assert np.allclose(left * [-1, 1, 1], right, atol=1e-6)
        assert left[-1, 2] < left[0, 2]
        assert left[:, 0].max() > abs(left[0, 0]) + 25
    assert rib_height(physique, 5, np.array([130.0])) < rib_height(physique, 5, np.array([30.0])) - 40


def test_a_tree_reaches_every_point_and_thins_outwards():
    points = make_rng(4).uniform(-40, 40, (300, 3)) + np.array([60.0, 0, 0])
    tree = grow_tree(np.array([[-10.0, 0, 0], [0, 0, 0]]), points)
    assert len(tree.ends_mm) == 301
    assert tree.loads[0] == 301
    assert (tree.parents >= 0).sum() == 300
    radii = tree.radii(6.0, 2.7)
    children = np.flatnonzero(tree.parents >= 0)
    assert (radii[children] < radii[tree.parents[children]]).all()
    # Murray: what leaves a branch is what enters it, but for the branch's own point.
    flow = np.zeros(len(radii))
    np.add.at(flow, tree.parents[children], tree.loads[children])
    assert np.array_equal(flow + 1, tree.loads)


def test_fields_measure_distance():
    grid = FieldGrid.around(np.full(3, -30.0), np.full(3, 30.0), 2.0)
    field = grid.empty()
    grid.add_ellipsoid(field, (0, 0, 0), (12, 12, 12))
    grid.add_chain(field, np.array([[0, 0, 20.0], [0, 0, 28.0]]), 3.0)
    x, y, z = grid.axes()
    ball = np.sqrt(x**2 + y**2 + z**2) - 12
    near = np.abs(ball) < 5
    near &= np.broadcast_to(z < 8, near.shape)
    assert np.abs(field - ball)[near].max() < 0.05
    implicit = grid.to_distance((x / 12) ** 2 + (y / 12) ** 2 + (z / 12) ** 2 - 1)
    assert np.abs(implicit - ball)[np.abs(ball) < 1].max() < 0.25
    assert smooth_min(np.array(1.0), np.array(1.0), 4.0) == 0.0


def test_bad_settings_and_seeds_say_what_is_wrong():
    with pytest.raises(DrrxError, match="seed -1; needed an integer >= 0"):
        make_phantom(-1, COARSE)
    from drrx.cli.options import make_settings

    with pytest.raises(DrrxError, match=r"make-phantom in_plane_mm: found '0.1'; needed .*greater than or equal"):
        make_settings(MakePhantomSettings, {"in_plane_mm": "0.1"}, "make-phantom")
    with pytest.raises(DrrxError, match="sex"):
        make_settings(MakePhantomSettings, {"sex": "x"}, "make-phantom")


def test_the_command_writes_ct_and_labels(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    ct, labels = tmp_path / "ct.nii.gz", tmp_path / "labels.nii.gz"
    options = ["--seed", "3", "--in-plane-mm", "6", "--slice-mm", "6", "--sex", "male"]
    command.run(parser.parse_args([*options, "--output", str(ct), "--anatomy-output", str(labels)]))
    drawn = make_phantom(3, replace(COARSE, in_plane_mm=6.0, slice_mm=6.0, sex="male"))
    assert np.array_equal(read_volume(ct).values, drawn.ct.values)
    assert np.array_equal(read_volume(labels).values, drawn.anatomy.labels.values)
    assert "male" in capsys.readouterr().out
