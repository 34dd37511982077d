"""The body of a nodule against closed forms, and its record."""

import json
from math import gamma, pi, sqrt

import numpy as np
import pytest
from scipy.special import sph_harm_y

from drrx.errors import DrrxError
from drrx.nodule.composite import Targets, composite
from drrx.nodule.draw_shape import draw_rotation, fit_radius
from drrx.nodule.form import VOLUME_TOLERANCE, fit_volume
from drrx.nodule.measure import moment_axes
from drrx.nodule.model import Draft, draw_nodule
from drrx.nodule.presets import PRESETS
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, render_shape
from drrx.nodule.strands import strand_radius_mm, strand_volume_mm3
from drrx.nodule.surface import body_volume_mm3, harmonic
from drrx.records.nodule_shape import NoduleShape, Spicule
from drrx.records.patch import NodulePatch, patches_from_arrays, patches_to_arrays
from drrx.seeds import make_rng

# exponent n of the profile -> peak over C R, width at half and at a fifth of the peak over D
EXPONENTS = (0.0, 0.25, 0.5, 1.0, 2.0)
PEAKS = dict(zip(EXPONENTS, (2.0, 1.748, 1.571, 1.333, 1.067), strict=True))
HALF_WIDTHS = dict(zip(EXPONENTS, (0.87, 0.78, 0.71, 0.61, 0.49), strict=True))
FIFTH_WIDTHS = dict(zip(EXPONENTS, (0.98, 0.94, 0.89, 0.81, 0.69), strict=True))
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def ball(radius_mm=6.0, exponent=0.0, **more):
    return NoduleShape(radius_mm, (1.0, 1.0, 1.0), IDENTITY, (), exponent, **more)


@pytest.fixture(scope="module")
def projected():
    """Exponent -> (positions, parallel projection along y) of a rendered ball of 6 mm radius, through its middle."""
    h, result = 0.2, {}
    for n in EXPONENTS:
        occupancy = render_shape(ball(6.0, n), h).occupancy
        half = (occupancy.shape[0] - 1) // 2
        result[n] = np.arange(-half, half + 1) * h, occupancy.sum(axis=1, dtype=float)[half] * h
    return result


@pytest.mark.parametrize("n", EXPONENTS)
def test_projection_of_a_ball_is_the_closed_form(projected, n):
    s, shadow = projected[n]
    peak = 6.0 * sqrt(pi) * gamma(n + 1) / gamma(n + 1.5)
    assert peak / 6.0 == pytest.approx(PEAKS[n], abs=6e-4)
    assert shadow.max() == pytest.approx(peak, rel=0.01)
    expected = peak * np.maximum(1 - (s / 6.0) ** 2, 0) ** (n + 0.5)
    inside = np.abs(s) < 0.95 * 6.0
    np.testing.assert_allclose(shadow[inside], expected[inside], atol=0.015 * peak)


@pytest.mark.parametrize("n", EXPONENTS)
def test_widths_of_the_projection_are_the_published_table(projected, n):
    s, shadow = projected[n]
    for level, published in ((0.5, HALF_WIDTHS[n]), (0.2, FIFTH_WIDTHS[n])):
        right = s >= 0
        found = 2 * np.interp(-level, -shadow[right] / shadow.max(), s[right]) / 12.0
        assert found == pytest.approx(sqrt(1 - level ** (1 / (n + 0.5))), abs=0.01)
        assert found == pytest.approx(published, abs=0.015)


@pytest.mark.parametrize("n", EXPONENTS)
def test_volume_integral_of_a_ball_is_the_closed_form(n):
    expected = 6.0**3 * pi**1.5 * gamma(n + 1) / gamma(n + 2.5)
    assert body_volume_mm3(ball(6.0, n)) == pytest.approx(expected, rel=1e-3)
    assert render_shape(ball(6.0, n), 0.3).occupancy.sum() * 0.3**3 == pytest.approx(expected, rel=0.01)


def test_mean_density_is_the_published_table():
    densities = [body_volume_mm3(ball(6.0, n)) / (4 / 3 * pi * 216) for n in (0, 0.25, 0.5, 1, 2)]
    np.testing.assert_allclose(densities, [1, 0.75, 0.59, 0.4, 0.23], atol=0.006)


@pytest.mark.parametrize(("degree", "order"), [(0, 0), (2, -1), (3, 3), (5, -4), (8, 2)])
def test_harmonics_agree_with_scipy(degree, order):
    rng = np.random.default_rng(0)
    polar, azimuth = rng.uniform(0, pi, 50), rng.uniform(0, 2 * pi, 50)
    value = sph_harm_y(degree, abs(order), polar, azimuth)  # complex, with Condon-Shortley phase
    part = value.real if order > 0 else value.imag
    expected = value.real if order == 0 else (-1) ** abs(order) * sqrt(2) * part
    np.testing.assert_allclose(harmonic(degree, order, polar, azimuth), expected, atol=1e-12)


@pytest.mark.parametrize("margin", ["smooth", "lobulated", "spiculated"])
@pytest.mark.parametrize("seed", range(3))
def test_drawn_bodies_get_the_volume_of_the_ball_around_their_centre(margin, seed):
    settings = SampleNodulesSettings(preset="screening", margin=margin)
    draft = draw_nodule(make_rng(seed), settings, 5.0, 14.0)
    psf = (2.0, 0.9, 0.9)
    _, rendered = fit_volume(draft.form, draft.diameter_mm, lambda form: form.render(0.28, psf), VOLUME_TOLERANCE)
    assert rendered.occupancy.sum(dtype=float) * 0.28**3 == pytest.approx(pi / 6 * draft.diameter_mm**3, rel=0.005)
    grids = np.meshgrid(*[np.arange(n) for n in rendered.occupancy.shape], indexing="ij", sparse=True)
    centroid = [float((g * rendered.occupancy).sum()) / rendered.occupancy.sum() for g in grids]
    shift = np.linalg.norm(centroid - rendered.center_index) * 0.28
    assert shift < (0.1 if margin == "smooth" else 0.06 * draft.diameter_mm)


@pytest.mark.parametrize("seed", range(4))
def test_ellipsoid_has_its_axes(seed):
    turned = draw_rotation(make_rng(seed))
    shape = NoduleShape(6.0, (1.0, 0.8, 0.6), turned, (), 0.0)
    lengths, directions = moment_axes(render_shape(shape, 0.4).occupancy, 0.4)
    np.testing.assert_allclose(lengths, np.array([1.0, 0.8, 0.6]) * 12 / 0.48 ** (1 / 3), rtol=0.02)
    np.testing.assert_allclose(np.abs(directions @ np.array(turned)), np.eye(3), atol=0.03)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(directions) == pytest.approx(1)
    assert all(directions[i, np.abs(directions[i]).argmax()] > 0 for i in (0, 1))


def test_spicules_add_their_volume_and_reach_out():
    strand = Spicule((1.0, 0.0, 0.0), 6.0, 2.0, 0.6)
    bare, spiked = render_shape(ball(), 0.2), render_shape(ball(spicules=(strand,)), 0.2)
    gained = (spiked.occupancy.sum(dtype=float) - bare.occupancy.sum(dtype=float)) * 0.2**3
    assert gained == pytest.approx(strand_volume_mm3(strand), rel=0.15)
    half = (spiked.occupancy.shape[0] - 1) // 2
    along_x = spiked.occupancy[half, half]
    assert along_x[half + int(11.5 / 0.2)] > 0.5
    assert along_x[half + int(12.7 / 0.2)] == 0
    assert along_x[half - int(7 / 0.2)] == 0


def test_volume_of_a_strand_is_the_integral_of_its_radius():
    strand = Spicule((1.0, 0.0, 0.0), 6.0, 2.0, 0.6)
    share = (np.arange(20000) + 0.5) / 20000
    expected = pi * 6.0 * (strand_radius_mm(strand, share) ** 2).mean()
    assert strand_volume_mm3(strand) == pytest.approx(expected, rel=1e-6)


def test_fit_radius_gives_the_volume_of_the_ball():
    shape = fit_radius(ball(3.0, 0.4), 12.0)
    assert body_volume_mm3(shape) == pytest.approx(pi / 6 * 12**3, rel=1e-9)


def test_blur_keeps_the_sum_and_crop_keeps_the_centre():
    rendered = render_shape(ball(5.0), 0.35)
    blurred = rendered.blur((2.5, 1.0, 1.0))
    assert blurred.occupancy.sum() == pytest.approx(rendered.occupancy.sum(), rel=1e-4)
    cropped = blurred.crop()
    middle = [(n - 1) / 2 for n in cropped.occupancy.shape]
    np.testing.assert_allclose(cropped.center_index, middle, atol=1)
    assert cropped.occupancy.sum() == pytest.approx(rendered.occupancy.sum(), rel=2e-3)


def test_compositing_never_darkens_and_keeps_vessels():
    rendered = render_shape(ball(5.0, 0.2, halo_width_mm=2.0), 0.35).crop()
    before = np.full(rendered.occupancy.shape, -870, np.float32)
    before[before.shape[0] // 2] = -1000
    before[:, :, before.shape[2] // 2] = 40  # a vessel
    for kind in ("solid", "ground_glass", "part_solid", "calcified"):
        after = composite(before, rendered, kind, Targets(-620.0 if "g" in kind[:1] else 20.0, halo=-600.0), -870.0)
        assert (after >= before).all()
    glass = composite(before, rendered, "ground_glass", Targets(-620.0), -870.0)
    np.testing.assert_array_equal(glass[:, :, before.shape[2] // 2], before[:, :, before.shape[2] // 2])
    assert glass[before == -870].max() == pytest.approx(-620, abs=1)
    dense = composite(before, rendered, "solid", Targets(20.0), -870.0)
    assert dense.max() == pytest.approx(40)
    assert dense[before < 0].max() == pytest.approx(20, abs=2)


def test_halo_is_outside_the_occupancy():
    rendered = render_shape(ball(5.0, halo_width_mm=3.0), 0.35)
    half = (rendered.occupancy.shape[0] - 1) // 2
    assert rendered.halo[half, half, half] == 0
    assert rendered.halo[half, half, half + int(6.5 / 0.35)] == pytest.approx(0.5, abs=0.08)
    assert rendered.occupancy[half, half, half + int(6.5 / 0.35)] == 0


@pytest.mark.parametrize("name", list(PRESETS))
def test_diameters_follow_the_truncated_log_normal(name):
    preset, rng = PRESETS[name], make_rng(1)
    drawn = np.array([preset.draw_diameter_mm(rng, preset.low_mm, preset.high_mm) for _ in range(3000)])
    assert preset.low_mm <= drawn.min() <= drawn.max() <= preset.high_mm
    logs = np.log(np.arange(preset.low_mm, preset.high_mm, 0.01) / preset.median_mm) / preset.sigma
    density = np.exp(-(logs**2) / 2) / np.arange(preset.low_mm, preset.high_mm, 0.01)
    expected = (density * np.arange(preset.low_mm, preset.high_mm, 0.01)).sum() / density.sum()
    assert drawn.mean() == pytest.approx(expected, rel=0.02)


def test_margins_and_kinds_have_their_shares():
    settings = SampleNodulesSettings()
    drafts: list[Draft] = [draw_nodule(make_rng(seed), settings, 11.0, 19.0) for seed in range(400)]
    assert np.mean([d.kind == "solid" for d in drafts]) == pytest.approx(0.70, abs=0.07)
    assert np.mean([d.margin == "spiculated" for d in drafts]) == pytest.approx(0.30, abs=0.07)
    assert all(d.targets.inclusion is not None for d in drafts if d.kind == "part_solid")
    assert all(-690 <= d.targets.body <= -400 for d in drafts if d.kind in ("ground_glass", "part_solid"))


def test_patches_survive_their_arrays_and_refuse_nonsense():
    occupancy = np.ones((2, 3, 4), np.float32)
    affine = RenderedShape(occupancy, 0.35, np.array([0, 1, 2])).place(np.array([1.0, 2.0, 3.0]))
    patch = NodulePatch(occupancy, occupancy * -800, occupancy * 20, affine)
    (again,) = patches_from_arrays(patches_to_arrays((patch,)))
    np.testing.assert_array_equal(again.delta_hu, patch.delta_hu)
    np.testing.assert_allclose(again.grid.to_world(np.array([0, 1, 2])), [1, 2, 3])
    with pytest.raises(DrrxError, match="three finite float32 arrays of one shape"):
        NodulePatch(occupancy, occupancy, occupancy * np.nan, affine)


def test_shape_survives_json():
    draft = draw_nodule(make_rng(3), SampleNodulesSettings(margin="spiculated"), 8, 9)
    text = json.dumps(draft.form.shape.__dict__, default=lambda value: value.__dict__)
    assert "spicules" in text
