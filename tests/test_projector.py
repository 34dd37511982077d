"""The projector: closed forms, an independent slow reference, and laws that every projector obeys."""

import numpy as np
import pytest

from drrx.errors import DrrxError
from drrx.geometry import Pose, View, make_standard_view
from drrx.projector import cpu, tilted
from drrx.projector.integrand import ALL_VALUES, Integrand
from drrx.projector.project import project, project_volume
from drrx.projector.rays import make_index_rays
from drrx.projector.reference import project_volume_reference
from drrx.projector.window import find_window
from drrx.volume import Volume


def make_view_of(volume: Volume, projection="pa", size_px=24, detector_mm=40.0) -> View:
    return make_standard_view(
        volume.center_world_mm, projection=projection, size_px=size_px, detector_mm=detector_mm,
        source_to_detector_mm=300.0, source_to_center_mm=250.0,
    )  # fmt: skip


def rotate(view: View, center_mm, degrees: float, axis: str) -> View:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = {"z": [[c, -s, 0], [s, c, 0], [0, 0, 1]], "x": [[1, 0, 0], [0, c, -s], [0, s, c]]}[axis]
    turn = np.array(turn)
    return View(
        center_mm + turn @ (view.source_world_mm - center_mm), center_mm + turn @ (view.pixel00_world_mm - center_mm),
        turn @ view.column_step_world_mm, turn @ view.row_step_world_mm, view.shape, view.name,
    )  # fmt: skip


def make_noise_volume(shape=(9, 14, 11), spacing=(3.0, 2.0, 2.5), seed=0, fill=1.0) -> Volume:
    rng = np.random.default_rng(seed)
    values = rng.random(shape, dtype=np.float32) * (rng.random(shape) < fill)
    return Volume.from_spacing(values.astype(np.float32), spacing, (-12.0, -14.0, -10.0))


@pytest.mark.parametrize("projection", ["pa", "ap"])
def test_center_ray_through_a_box_is_its_thickness(projection):
    values = np.zeros((12, 20, 16), np.float32)
    values[2:10, 5:15, 3:13] = 2.0
    volume = Volume.from_spacing(values, (2.0, 1.5, 1.0))
    view = make_view_of(volume, projection, size_px=25)
    assert project_volume(volume, view)[12, 12] == pytest.approx(2.0 * 10 * 1.5, rel=1e-6)


def test_ball_matches_chord_length():
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (81, 81, 81)), indexing="ij")
    radius = 30.0
    distance = np.sqrt(x**2 + y**2 + z**2)
    volume = Volume.from_spacing(np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32), (1.0, 1.0, 1.0))
    view = make_standard_view(volume.center_world_mm, size_px=64, detector_mm=90)
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    rays = view.pixel_world_mm(rows, columns) - view.source_world_mm
    to_center = volume.center_world_mm - view.source_world_mm
    along = rays @ to_center / np.linalg.norm(rays, axis=-1)
    offset2 = to_center @ to_center - along**2
    chord = 2 * np.sqrt(np.clip(radius**2 - offset2, 0, None))
    image = project_volume(volume, view)
    assert np.sqrt(np.mean((image - chord) ** 2)) < 0.01 * chord.max()
    assert image.max() == pytest.approx(60.0, rel=2e-3)


@pytest.mark.parametrize("projection", ["pa", "ap"])
@pytest.mark.parametrize("fill", [1.0, 0.02])
def test_kinks_match_the_reference(projection, fill):
    volume = make_noise_volume(fill=fill)
    view = make_view_of(volume, projection)
    reference = project_volume_reference(volume, view, step_mm=0.05)
    error = project_volume(volume, view) - reference
    assert np.sqrt(np.mean(error**2)) < 1e-3 * reference.max()


@pytest.fixture(params=["resampled", "by_rays"])
def tilted_kernel(request, monkeypatch):
    """Both ways to a tilted view."""
    if request.param == "by_rays":
        monkeypatch.setattr(cpu, "find_untilted", lambda *_: None)
    return request.param


@pytest.mark.parametrize(("axis", "degrees"), [("z", 12.0), ("x", 7.0), ("z", 90.0), ("z", -35.0)])
def test_tilted_views_match_the_reference(axis, degrees, tilted_kernel):
    volume = make_noise_volume(shape=(11, 12, 13), spacing=(2.5, 2.0, 2.2))
    view = rotate(make_view_of(volume), volume.center_world_mm, degrees, axis)
    reference = project_volume_reference(volume, view, step_mm=0.05)
    # Joseph takes one sample per slab: oblique rays through white noise are where it is worst (1 to 2.2 %).
    assert np.sqrt(np.mean((project_volume(volume, view) - reference) ** 2)) < 0.025 * reference.mean()


def make_random_scene(seed: int) -> tuple[Integrand, View]:
    """A box of random size, spacing and content, and any view of it."""
    rng = np.random.default_rng(seed)
    shape, spacing = rng.integers(5, 16, 3), rng.uniform(0.7, 3.0, 3)
    hu = rng.integers(-1100, 1200, shape).astype(np.int16)
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    volume = Volume.from_spacing(hu, tuple(spacing), tuple(rng.uniform(-50, 50, 3)))
    view = make_standard_view(
        volume.center_world_mm, projection=str(rng.choice(["pa", "ap", "lateral"])), size_px=int(rng.integers(16, 30)),
        detector_mm=float(rng.uniform(20, 50)), source_to_detector_mm=300.0, source_to_center_mm=250.0,
        detector_offset_mm=tuple(rng.uniform(-5, 5, 2)),
    )  # fmt: skip
    if seed % 2:
        view = Pose(*rng.uniform(-8, 8, 6)).move(view, volume.center_world_mm)
    return Integrand(volume, ((-1000.0, 0.0), (0.0, np.inf), ALL_VALUES), labels, ((1,), (2, 3))), view


@pytest.mark.parametrize("seed", range(10))
def test_every_channel_of_any_scene_matches_the_reference(seed):
    integrand, view = make_random_scene(seed)
    hu, labels = integrand.volume.values.astype(np.float32), integrand.labels
    channels = np.clip(hu, -1000, 0) + 1000, np.clip(hu, 0, None), hu, labels == 1, labels >= 2
    image = project([(integrand, view)])[0]
    assert image.shape == (5, *view.shape)
    assert image.dtype == np.float32
    for found, values in zip(image, channels, strict=True):
        reference = project_volume_reference(integrand.volume.with_values(values), view, step_mm=0.05)
        # Exact where rays run straight through slabs; oblique ones are Joseph's approximation, worst in white noise.
        tolerance = 0.025 if seed % 2 else 0.003
        assert np.sqrt(np.mean((found - reference) ** 2)) < tolerance * np.abs(reference).max()


def test_all_cpu_kernels_meet_where_they_overlap(monkeypatch):
    volume = make_noise_volume(shape=(20, 30, 25), fill=0.3)
    view = make_view_of(volume, size_px=40)
    almost = rotate(view, volume.center_world_mm, 1e-6, "z")
    assert make_index_rays(volume, view).is_separable
    assert not make_index_rays(volume, almost).is_separable
    by_kinks, resampled = project_volume(volume, view), project_volume(volume, almost)
    monkeypatch.setattr(cpu, "find_untilted", lambda *_: None)
    by_rays = project_volume(volume, almost)
    np.testing.assert_allclose(by_rays, by_kinks, rtol=0, atol=2e-4)
    # Resampling blunts the edges of single voxels; white noise through few slabs is where that is worst (0.3 %).
    assert np.sqrt(np.mean((resampled - by_rays) ** 2)) < 5e-3 * by_rays.max()


def test_resampling_keeps_a_smooth_body_to_a_hundredth_of_a_percent(monkeypatch):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (30, 60, 60)), indexing="ij")
    volume = Volume.from_spacing((1000 * np.clip(1 - x**2 - y**2 - z**2, 0, None)).astype(np.int16), (4.0, 2.0, 2.0))
    view = make_standard_view(volume.center_world_mm, size_px=160, detector_mm=160)
    view = Pose(rotation_deg=5, tilt_deg=4, roll_deg=3).move(view, volume.center_world_mm)
    resampled = project_volume(volume, view)
    monkeypatch.setattr(cpu, "find_untilted", lambda *_: None)
    by_rays = project_volume(volume, view)
    assert not np.array_equal(resampled, by_rays)
    assert np.sqrt(np.mean((resampled - by_rays) ** 2)) < 1e-4 * by_rays.max()


def test_a_tilted_detector_may_cut_the_volume(tilted_kernel):
    volume = make_noise_volume(shape=(20, 40, 25), spacing=(2.0, 2.0, 2.0))
    view = make_standard_view(
        volume.center_world_mm, size_px=30, detector_mm=50, source_to_detector_mm=300.0, source_to_center_mm=290.0
    )
    view = rotate(view, volume.center_world_mm, 10.0, "z")
    reference = project_volume_reference(volume, view, step_mm=0.05)
    # One sample stands for a slab as a whole: where the detector cuts it, up to half a slab is in question.
    assert np.abs(project_volume(volume, view) - reference).max() < 2.0
    assert np.sqrt(np.mean((project_volume(volume, view) - reference) ** 2)) < 0.05 * reference.mean()


def test_stripes_do_not_show(monkeypatch):
    volume = make_noise_volume(shape=(20, 30, 25))
    view = rotate(make_view_of(volume, size_px=40), volume.center_world_mm, 5.0, "x")
    whole = project_volume(volume, view)
    monkeypatch.setattr(tilted, "STRIPE", 17)
    np.testing.assert_allclose(project_volume(volume, view), whole, rtol=0, atol=1e-5)


def test_columns_may_run_against_the_volume():
    volume = make_noise_volume()
    view = make_view_of(volume)
    num_columns = view.shape[1]
    mirrored = View(
        view.source_world_mm, view.pixel_world_mm(np.array(0), np.array(num_columns - 1)), -view.column_step_world_mm,
        view.row_step_world_mm, view.shape, view.name,
    )  # fmt: skip
    np.testing.assert_allclose(project_volume(volume, mirrored), project_volume(volume, view)[:, ::-1], atol=1e-6)


def test_a_mask_of_what_surrounds_the_rest_counts_every_voxel():
    volume = Volume.from_spacing(np.zeros((6, 8, 10), np.int16), (2.0, 2.0, 2.0))
    labels = np.zeros(volume.shape, np.uint8)
    view = make_view_of(volume, size_px=21, detector_mm=10)
    image = project([(Integrand(volume, (), labels, ((0,), (1,))), view)])[0]
    assert image[0, 10, 10] == pytest.approx(16.0, rel=1e-6)
    assert not image[1].any()


def test_the_answer_is_the_same_on_any_number_of_threads():
    numba = pytest.importorskip("numba")
    integrand, view = make_random_scene(1)
    images = []
    for num_threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(num_threads)
        images.append(project([(integrand, view), (integrand, make_view_of(integrand.volume, size_px=300))]))
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for first, second in zip(images[0], images[-1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_projection_is_linear():
    volume, other = make_noise_volume(), make_noise_volume(seed=1)
    view = make_view_of(volume)
    both = project_volume(volume.with_values(2 * volume.values + other.values), view)
    np.testing.assert_allclose(
        both, 2 * project_volume(volume, view) + project_volume(other, view), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float32, np.float64])
def test_any_dtype_gives_the_same_image(dtype):
    volume = make_noise_volume()
    mask = volume.values > 0.5
    view = make_view_of(volume)
    expected = project_volume(volume.with_values(mask.astype(np.float32)), view)
    np.testing.assert_array_equal(project_volume(volume.with_values(mask.astype(dtype)), view), expected)


def test_a_window_is_a_part_of_the_image():
    volume = make_noise_volume()
    view = make_view_of(volume)
    window = slice(5, 20), slice(3, 17)
    np.testing.assert_allclose(
        project_volume(volume, view.window(*window)), project_volume(volume, view)[window], rtol=1e-6
    )


def test_right_is_left_and_head_is_up():
    values = np.zeros((10, 10, 10), np.float32)
    values[8, 5, 1] = 1.0  # head (+z), patient's right (-x)
    volume = Volume.from_spacing(values, (2.0, 2.0, 2.0))
    image = project_volume(volume, make_view_of(volume, size_px=30, detector_mm=30))
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert row < 15
    assert column < 15


def test_projected_points_lie_where_the_image_shows_them():
    values = np.zeros((15, 15, 15), np.float32)
    values[11, 3, 10] = 1.0
    volume = Volume.from_spacing(values, (1.0, 1.0, 1.0), (5.0, -3.0, 8.0))
    view = make_view_of(volume, size_px=90, detector_mm=30)
    image = project_volume(volume, view)
    rows, columns = np.meshgrid(np.arange(90), np.arange(90), indexing="ij")
    centroid = (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()
    np.testing.assert_allclose(view.project_points(volume.to_world(np.array([11, 3, 10]))), centroid, atol=0.05)


def test_find_window_holds_all_of_the_shadow():
    volume = make_noise_volume(shape=(4, 5, 6), spacing=(1.0, 1.0, 1.0))
    view = make_view_of(volume, size_px=60)
    rows, columns = find_window(volume, view)
    image = project_volume(volume, view)
    image[rows, columns] = 0
    assert np.abs(image).max() < 1e-9  # what double sums leave
    beside = View(
        view.source_world_mm, view.pixel00_world_mm + np.array([200.0, 0, 0]), view.column_step_world_mm,
        view.row_step_world_mm, view.shape, "pa",
    )  # fmt: skip
    assert find_window(volume, beside) is None


def test_a_source_inside_the_volume_is_refused():
    volume = make_noise_volume()
    view = make_view_of(volume)
    inside = View(
        volume.center_world_mm,
        view.pixel00_world_mm,
        view.column_step_world_mm,
        view.row_step_world_mm,
        view.shape,
        "pa",
    )
    with pytest.raises(DrrxError, match=r"source outside the volume.*Move the source away"):
        project_volume(volume, inside)
