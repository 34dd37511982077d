"""Nodules back in the CT: exact means over voxels, nothing lost."""

import numpy as np
import pytest

from drrx.errors import DrrxError
from drrx.nodule.patch import insert_nodules, sample_ct
from drrx.nodule.shape import RenderedShape, render_shape
from drrx.records.nodule_shape import NoduleShape
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

BALL = NoduleShape(6.0, (1.0, 1.0, 1.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (), 0.0)


def make_patch(center=(3.3, -2.1, 5.7), added=8000.0):
    rendered = render_shape(BALL, 0.35).crop()
    w = rendered.occupancy
    before = np.full(w.shape, -860, np.float32)
    return NodulePatch(w, before, before + w * np.float32(added), rendered.place(np.array(center)))


@pytest.mark.parametrize("spacing", [(2.5, 0.7, 0.7), (0.2, 0.2, 0.2), (8.0, 1.0, 1.0)])
def test_added_hu_times_volume_is_kept(spacing):
    shape = tuple(int(40 / s) for s in spacing)
    ct = Volume.from_spacing(np.full(shape, -860, np.int16), spacing, (-17.0, -22.0, -14.0))
    patch = make_patch()
    inserted = insert_nodules(ct, [patch])
    assert inserted.values.dtype == np.int16
    gained = (inserted.values.astype(float) + 860).sum() * ct.voxel_volume_mm3
    expected = patch.delta_hu.sum(dtype=float) * patch.grid.voxel_volume_mm3
    assert gained == pytest.approx(expected, rel=2e-3)


def test_mean_over_each_voxel_is_exact_where_grids_nest():
    fine = np.random.default_rng(0).uniform(0, 1, (6, 6, 6)).astype(np.float32)
    zero = np.zeros_like(fine)
    ct = Volume.from_spacing(np.zeros((2, 3, 3), np.int16), (0.9, 0.6, 0.6), (0.0, 0.0, 0.0))
    grid = Volume.from_spacing(fine, (0.3, 0.3, 0.3), (-0.15, -0.15, -0.3))
    result = insert_nodules(ct, [NodulePatch(fine, zero, fine * 10000, grid.world_from_index)]).values
    expected = fine.reshape(2, 3, 3, 2, 3, 2).mean(axis=(1, 3, 5)) * 10000
    np.testing.assert_allclose(result, expected, atol=0.51)


def test_patches_add_up_and_may_lie_outside():
    ct = Volume.from_spacing(np.zeros((10, 20, 20), np.int16), (2.0, 1.0, 1.0), (-10.0, -10.0, -10.0))
    one = insert_nodules(ct, [make_patch(added=1000.0)]).values.astype(int)
    two = insert_nodules(ct, [make_patch(added=1000.0)] * 2).values.astype(int)
    np.testing.assert_allclose(two, 2 * one, atol=1)
    far = insert_nodules(ct, [make_patch(center=(500.0, 0.0, 0.0))])
    np.testing.assert_array_equal(far.values, ct.values)


def test_ct_on_the_fine_grid_is_trilinear():
    ct = Volume.from_spacing(np.zeros((5, 6, 7), np.float32), (2.0, 1.5, 1.0), (1.0, 2.0, 3.0))
    z, y, x = np.meshgrid(*[np.arange(n) for n in ct.shape], indexing="ij")
    linear = ct.to_world(np.stack([z, y, x], axis=-1)) @ [1.0, -2.0, 3.0]
    grid = RenderedShape(np.zeros((5, 5, 5), np.float32), 0.3, np.array([2, 2, 2]))
    affine = grid.place(np.array([4.0, 5.0, 6.0]))
    patch = sample_ct(Volume(linear, ct.world_from_index), (5, 5, 5), affine)
    fine = Volume(patch, affine)
    z, y, x = np.meshgrid(*[np.arange(5)] * 3, indexing="ij")
    np.testing.assert_allclose(patch, fine.to_world(np.stack([z, y, x], axis=-1)) @ [1.0, -2.0, 3.0], rtol=1e-5)


def test_ct_that_is_not_canonical_is_refused():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    with pytest.raises(DrrxError, match="canonical CT: slices to the head"):
        insert_nodules(Volume(np.zeros((3, 3, 3), np.int16), affine), [make_patch()])
