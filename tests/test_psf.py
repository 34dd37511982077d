"""The blur of a scan: bodies blurred by a known width, sampled as a scanner samples."""

from math import pi, sqrt

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import ndtr

from drrx.nodule.psf import find_scan_blur, measure_axial, measure_in_plane
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.anatomy import Label
from drrx.volume import Volume

SIGMA_PER_FWHM = 1 / sqrt(8 * np.log(2))
FINE_MM, PIXEL_STEPS = 0.1, 7
NUM_SLICES = 24


def draw_cylinder(fwhm_mm, skin=True, slice_mm=2.0, noise_hu=15.0, wrinkle_mm=0.0):
    """Rasterise an elliptic trunk at 0.1 mm, blur it, and sample it at 0.7 mm with other phases per slice."""
    x = np.arange(-850, 851) * FINE_MM
    y = x[:, None]
    image = np.full((len(x), len(x)), -1000, np.float32)
    wrinkles = wrinkle_mm * np.sin(150 * np.arctan2(y, x)) * (np.abs(np.arctan2(y, x)) < 2)
    image[np.hypot(x, y / 0.8) + wrinkles < 75] = 40 if skin else -90
    image[np.hypot(x / 73.2, y / 58.2) < 1] = -90
    image = gaussian_filter(image, fwhm_mm * SIGMA_PER_FWHM / FINE_MM, truncate=4)
    rng = np.random.default_rng(3)
    starts = rng.integers(0, PIXEL_STEPS, (NUM_SLICES, 2))
    slices = [image[a::PIXEL_STEPS, b::PIXEL_STEPS][:240, :240] for a, b in starts]
    hu = np.stack(slices) + rng.normal(0, noise_hu, (NUM_SLICES, 240, 240))
    pixel_mm = FINE_MM * PIXEL_STEPS
    return Volume.from_spacing(np.rint(hu).astype(np.int16), (slice_mm, pixel_mm, pixel_mm))


def draw_dome(axial_mm, in_plane_mm, slice_mm):
    """Sample a body under a gently tilted and curved shoulder whose blurred profile along z is known in closed form."""
    z, y, x = np.meshgrid(np.arange(40) * slice_mm, np.arange(120) * 0.7, np.arange(120) * 0.7, indexing="ij")
    across, along = y - 42, x - 42
    surface = 24 * slice_mm - 0.2 * across - 0.1 * along - (across**2 + along**2) / 2000
    slope = np.hypot(0.2 + across / 1000, 0.1 + along / 1000)
    sigma = np.hypot(axial_mm, slope * in_plane_mm) * SIGMA_PER_FWHM
    hu = -1000 + 1040 * ndtr((surface - z) / sigma) + np.random.default_rng(5).normal(0, 15, z.shape)
    return Volume.from_spacing(np.rint(hu).astype(np.int16), (slice_mm, 0.7, 0.7))


def label_body(ct):
    """Half-way between air and tissue is the surface."""
    return ct.with_values(np.where(ct.values > -500, Label.BODY, Label.OUTSIDE).astype(np.uint8))


@pytest.mark.parametrize("fwhm_mm", [0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("skin", [True, False])
def test_finds_the_width_that_a_body_was_blurred_with(fwhm_mm, skin):
    ct = draw_cylinder(fwhm_mm, skin)
    found = measure_in_plane(ct, ct.values < -500)
    assert found.fwhm_mm == pytest.approx(fwhm_mm, rel=0.05)
    assert found.num_edges > 100
    assert found.quartiles_mm[0] <= found.fwhm_mm <= found.quartiles_mm[1]


@pytest.mark.parametrize(("axial_mm", "slice_mm"), [(1.2, 2.0), (2.5, 2.5), (2.0, 1.0)])
def test_finds_the_width_along_z_even_where_slices_lie_apart(axial_mm, slice_mm):
    ct = draw_dome(axial_mm, 2.5, slice_mm)
    found = measure_axial(ct, ct.values < -500, 2.5)
    assert found.fwhm_mm == pytest.approx(axial_mm, rel=0.05)


def test_a_cylinder_has_no_edge_along_z():
    ct = draw_cylinder(1.0)
    assert measure_axial(ct, ct.values < -500, 1.0) is None


def test_clothes_and_table_do_not_count():
    """A sheet that touches a third of the skin, and one 2 mm away from another third, leave the width as it is."""
    ct = draw_cylinder(1.0)
    y, x = np.meshgrid(*(np.arange(240) * 0.7 - 85,) * 2, indexing="ij")
    radius, angle = np.hypot(x, y / 0.8), np.arctan2(y, x)
    hu = ct.values.astype(float)
    hu[:, (radius > 75) & (radius < 79) & (angle < -1)] = -400
    hu[:, (radius > 77.5) & (radius < 82) & (angle > 1)] = -200
    found = measure_in_plane(ct.with_values(hu.astype(np.int16)), ct.values < -500)
    assert found.fwhm_mm == pytest.approx(1.0, rel=0.05)
    assert 24 <= found.num_edges < 0.6 * measure_in_plane(ct, ct.values < -500).num_edges


def test_wrinkles_do_not_count():
    """Two thirds of the skin are wavy by 0.6 mm, as clothes that lie on it or a wet fold; the rest decides."""
    ct = draw_cylinder(1.0, wrinkle_mm=0.6)
    assert measure_in_plane(ct, ct.values < -500).fwhm_mm == pytest.approx(1.0, rel=0.05)


def test_the_edge_of_a_mask_is_no_edge_of_a_scan():
    """Where padding cuts the body, and in a CT of plain voxels, there is no blur to be found."""
    ct = draw_cylinder(1.0)
    hard = ct.with_values(np.where(ct.values > -500, -90, -1000).astype(np.int16))
    assert measure_in_plane(hard, hard.values < -500) is None


def test_fixed_and_none_do_not_look_at_the_scan():
    ct = draw_cylinder(1.5)
    fixed = find_scan_blur(ct, label_body(ct), SampleNodulesSettings(blur="fixed", psf_fwhm_mm=1.3))
    assert (fixed.fwhm_mm, fixed.in_plane_from, fixed.axial_from) == ((2.0, 1.3, 1.3), "setting", "slice_spacing")
    none = find_scan_blur(ct, label_body(ct), SampleNodulesSettings(blur="none"))
    assert (none.fwhm_mm, none.in_plane_from) == ((0.0, 0.0, 0.0), "none")


def test_without_edges_the_settings_stand_in_and_the_record_says_so():
    ct = draw_cylinder(1.0)
    nothing = ct.with_values(np.full(ct.shape, 40, np.int16))
    blur = find_scan_blur(nothing, nothing.with_values(np.ones(ct.shape, np.uint8)), SampleNodulesSettings())
    assert blur.to_json() == {
        "fwhm_mm": (2.0, 1.0, 1.0), "in_plane_from": "setting", "axial_from": "slice_spacing", "in_plane": None,
        "axial": None,
    }  # fmt: skip


def test_the_blur_is_what_linear_interpolation_leaves_of_the_scan():
    """Samples of a blurred point, interpolated linearly at any phase, are on average as wide as the blur says."""
    ct = draw_cylinder(1.5)
    blur = find_scan_blur(ct, label_body(ct), SampleNodulesSettings())
    assert blur.in_plane_from == "edges"
    fine, sigma, pixel = np.arange(-8, 8, 0.01), blur.in_plane.fwhm_mm * SIGMA_PER_FWHM, 0.7
    total = np.zeros_like(fine)
    for phase in np.linspace(0, pixel, 20, endpoint=False):
        samples = np.arange(-12, 13) * pixel + phase
        point = np.exp(-(samples**2) / 2 / sigma**2) / sqrt(2 * pi) / sigma
        total += map_coordinates(point, [(fine - phase) / pixel + 12], order=1)
    variance = (total * fine**2).sum() / total.sum()
    assert sqrt(variance) == pytest.approx(blur.fwhm_mm[1] * SIGMA_PER_FWHM, rel=0.01)


def test_the_axial_width_stays_below_its_limit():
    ct = draw_cylinder(1.0, slice_mm=4.0)
    blur = find_scan_blur(ct, label_body(ct), SampleNodulesSettings(psf_axial_max_mm=3.0))
    assert (blur.fwhm_mm[0], blur.axial_from) == (3.0, "slice_spacing")
