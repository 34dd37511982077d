import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm

from drrx.annotate.shadow import Shadow
from drrx.errors import DrrxError
from drrx.evaluate.drr_nodules import Change, measure_change, measure_local_gains, measure_twins, summarize
from drrx.evaluate.nodules import measure_nodules
from drrx.evaluate.observer import make_channels, measure_d_prime, to_auc
from drrx.evaluate.twins import read_twins
from drrx.io.arrays import write_arrays
from drrx.io.image import write_image
from drrx.pairs.films import read_films
from drrx.restorer.settings import RestoreCxrSettings
from tests.films import make_film, write_films
from tests.restorers import make_restorer

SHAPE = (256, 240)
LUNG = np.ones(SHAPE, bool)


def ball(row=128, column=120, radius=15, height=0.08):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = 1 - ((rows - row) ** 2 + (columns - column) ** 2) / radius**2
    return (height * np.sqrt(np.clip(inside, 0, None))).astype(np.float32)


def shadow_of(nodule):
    return Shadow(path_mm=100 * nodule, delta_line_integral=nodule)


def anatomy(seed=0, sigma=6.0, size=0.05):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), sigma)
    return (0.4 + size * values / values.std()).astype(np.float32)


def measure(twin_out, change_out, nodule=None, twin_in=None):
    nodule, twin = ball() if nodule is None else nodule, anatomy() if twin_in is None else twin_in
    change = Change(twin, twin + nodule, twin_out, twin_out + change_out)
    (found,) = measure_change(change, [shadow_of(nodule)], LUNG)
    return found


def test_identity_keeps_everything():
    found = measure(anatomy(), ball())
    for name, value in {"gain": 1, "tone_gain": 1, "transfer": 1, "correlation": 1, "outside": 0, "iou": 1}.items():
        assert found[name] == pytest.approx(value, abs=0.02), name
    assert found["d_prime"] == found["d_prime_drr"]


def test_a_tone_curve_is_gain_but_no_transfer():
    found = measure(0.1 + 1.5 * anatomy(), 1.5 * ball())
    assert found["gain"] == pytest.approx(1.5, rel=1e-4)
    assert found["tone_gain"] == pytest.approx(1.5, rel=1e-4)
    assert found["transfer"] == pytest.approx(1, rel=1e-4)


def test_a_weakened_nodule_is_transfer():
    found = measure(anatomy(), 0.5 * ball())
    assert found["transfer"] == pytest.approx(0.5, rel=1e-4)
    assert found["correlation"] == pytest.approx(1, abs=1e-6)
    assert found["d_prime"] < found["d_prime_drr"]


def test_change_elsewhere_is_outside():
    ghost = 0.5 * ball(60, 60)
    found = measure(anatomy(), ball() + ghost)
    assert found["outside"] == pytest.approx(0.25 / 1.25, abs=0.01)
    assert found["outside_drr"] == pytest.approx(0, abs=0.01)
    assert found["iou"] > 0.95  # the ghost is another piece


def test_a_blurred_nodule_has_another_box():
    assert measure(anatomy(), ndimage.gaussian_filter(ball(radius=8), 6), ball(radius=8))["iou"] < 0.6


def test_boxes_agree_with_their_areas():
    # Squares: 20 px true, 30 px found, one middle.
    true, wide = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    true[100:120, 100:120], wide[95:125, 95:125] = 0.1, 0.1
    assert measure(anatomy(), wide, true)["iou"] == pytest.approx(400 / 900)


def test_every_nodule_is_measured_by_itself():
    first, second = ball(80, 80), ball(180, 170, 12, 0.05)
    twin = anatomy()
    change = Change(twin, twin + first + second, twin, twin + first + 0.5 * second)
    found = measure_change(change, [shadow_of(first), shadow_of(second)], LUNG)
    assert [f["nodule"] for f in found] == [1, 2]
    assert [f["gain"] for f in found] == pytest.approx([1, 0.5], rel=1e-4)
    assert all(f["outside"] < 0.02 for f in found)


def test_a_nodule_beside_the_image_is_left_out():
    twin = anatomy()
    assert measure_change(Change(twin, twin, twin, twin), [shadow_of(ball())], LUNG) == []


def test_tone_gain_is_the_slope_of_coarse_structure():
    twin, fine = anatomy(sigma=10), np.random.default_rng(1).normal(0, 0.02, SHAPE).astype(np.float32)
    tone_gain, _ = measure_local_gains(twin + fine, 1.3 * twin - 2 * fine, (128, 120), 40)
    assert tone_gain == pytest.approx(1.3, abs=0.03)


def test_detail_gain_is_the_slope_of_structure_of_the_nodules_size():
    slow, like_nodules = anatomy(sigma=40, size=0.1), anatomy(1, sigma=8) - np.float32(0.4)
    tone_gain, detail_gain = measure_local_gains(slow + like_nodules, slow + 1.6 * like_nodules, (128, 120), 24)
    assert detail_gain == pytest.approx(1.6, abs=0.1)
    assert 1.0 < tone_gain < detail_gain


def test_channels_are_orthonormal():
    flat = make_channels(16).reshape(5, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=0.02)


def test_observer_in_white_noise_is_the_matched_filter():
    # In white noise a signal made of channels is seen with d' = |s| / sigma (the grey step adds to the noise).
    sigma, size = 0.03, 481
    noise = np.random.default_rng(0).normal(0.5, sigma, (size, size))
    signal, channels = np.zeros((size, size)), make_channels(12)
    reach = channels.shape[-1] // 2
    middle = slice(240 - reach, 241 + reach)
    signal[middle, middle] = 0.05 * channels[0] + 0.02 * channels[2]
    expected = np.hypot(0.05, 0.02) / np.hypot(sigma, 1 / 255)
    assert measure_d_prime(signal, noise, np.ones((size, size), bool), (240, 240), 12) == pytest.approx(
        expected, rel=0.2
    )


def test_observer_sees_twice_the_contrast_twice_as_well_and_clutter_worse():
    def see(height, clutter):
        return measure_d_prime(ball(height=height), anatomy(size=clutter), LUNG, (128, 120), 26)

    assert see(0.08, 0.05) == pytest.approx(2 * see(0.04, 0.05))
    assert see(0.08, 0.1) < 0.7 * see(0.08, 0.05)


def test_auc_is_that_of_two_normal_distributions():
    assert to_auc(0.0) == 0.5
    assert to_auc(1.5) == pytest.approx(norm.sf(0, loc=1.5, scale=np.sqrt(2)))


def one(variant, view="pa", **values):
    base = {"transfer": 1.0, "outside": 0.01, "iou": 0.95, "d_prime_drr": 1.0, "d_prime": 1.0}
    return {"case": "c", "variant": variant, "view": view, "nodule": 1} | base | values


def test_summary_counts_what_meets_the_goals():
    report = summarize([one("v1"), one("v2", transfer=1.2), one("v3", outside=0.2, iou=0.5), one("v4")], 200)
    assert report["within"] == {"transfer": 0.75, "outside": 0.75, "iou": 0.75}
    assert report["nodules"] == report["images"] == 4
    assert report["auc_kept"]
    assert report["spread"]["transfer"][1] == 1.0


def test_a_loss_of_detectability_is_told():
    found = [one(f"v{i}", d_prime=0.5) for i in range(8)]
    report = summarize(found, 200)
    assert not report["auc_kept"]
    assert report["auc_change"][0] == pytest.approx(to_auc(0.5) - to_auc(1.0), abs=1e-3)


def test_views_of_one_nodule_are_one_draw():
    found = [one("v1", f"pa_{i}", d_prime=0.2) for i in range(9)] + [one("v2", d_prime=3.0)]
    report = summarize(found, 400)
    assert report["nodules"] == 2
    assert report["auc_change"][1] < 0 < report["auc_change"][2]


def write_results(folder):
    twin, nodule = make_film(0, *SHAPE), ball(height=0.1)
    for variant, image in (("twin", twin), ("v1", twin + nodule)):
        (folder / "cases" / "a" / variant / "pa").mkdir(parents=True)
        write_image(folder / "cases" / "a" / variant / "pa" / "drr.png", image)
    (folder / "cases" / "a" / "pa").mkdir()
    write_arrays(folder / "cases" / "a" / "pa" / "projection.npz", {"lung_path_mm": np.ones(SHAPE, np.float32)})
    arrays = {"1_path_mm": 100 * nodule, "1_delta_line_integral": nodule, "1_row": 0, "1_column": 0}
    write_arrays(folder / "cases" / "a" / "v1" / "pa" / "paths.npz", {k: np.asarray(v) for k, v in arrays.items()})
    write_arrays(folder / "cases" / "a" / "twin" / "pa" / "paths.npz", {})
    return folder


def test_a_results_folder_is_measured(tmp_path):
    rows = read_twins(write_results(tmp_path))
    assert [(row.name, row.variants) for row in rows] == [("a_pa", ("v1",))]
    settings = RestoreCxrSettings(mode="mean", tone="input")
    report = measure_twins(rows, make_restorer(), settings, 0, resamples=100)
    assert report["nodules"] == 1
    assert report["each"][0]["case"] == "a"
    assert np.isfinite(report["each"][0]["transfer"])
    assert measure_twins(rows, make_restorer(), settings, 0, resamples=100) == report


def test_a_folder_without_twins_is_an_error(tmp_path):
    with pytest.raises(DrrxError, match="found no frontal view with twin/<view>"):
        read_twins(tmp_path)


def test_nodules_on_films_have_four_measures(tmp_path):
    rows = [row for row in read_films(write_films(tmp_path / "x", 4)) if row.split == "train"][:1]
    report = measure_nodules(rows, make_restorer(), RestoreCxrSettings(mode="mean", tone="full"), 0)
    assert set(report) == {"gain_film", "gain_input", "correlation", "leakage"}
    assert all(low <= middle <= high for low, middle, high in report.values())
