import numpy as np
import pytest
from scipy import ndimage

from drrx.errors import DrrxError
from drrx.evaluate.grid import measure_blocks, measure_peaks
from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.noise import (
    OCTAVE_NAMES,
    OCTAVES,
    TILE_PX,
    NoiseNorm,
    compare_noise,
    cut_tiles,
    make_norm,
    measure_octaves,
)

SHAPE = (320, 288)
ALL = np.ones(SHAPE, bool)


def white(seed, sigma=0.02):
    return np.random.default_rng(seed).normal(0.4, sigma, SHAPE).astype(np.float32)


def pink(seed, power=3.0):
    rng = np.random.default_rng(seed)
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in SHAPE), indexing="ij"))
    radius[0, 0] = 1
    values = np.fft.ifft2(np.fft.fft2(rng.normal(size=SHAPE)) * radius ** (-power / 2)).real
    return (0.4 + 0.1 * values / values.std()).astype(np.float32)


def grid(pitch, direction, amplitude):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along = {"horizontal": columns, "vertical": rows, "diagonal": rows + columns, "antidiagonal": rows - columns}
    return (amplitude * np.cos(2 * np.pi * along[direction] / pitch)).astype(np.float32)


def norm_at(*db):
    return NoiseNorm(np.array(db, float), np.array(db, float) + 3)


def test_octaves_of_white_noise_hold_their_share_of_its_variance():
    found = np.mean([measure_octaves(white(seed), ALL) for seed in range(4)], axis=0)
    line = np.fft.fftfreq(TILE_PX)
    radius = np.hypot(line[:, None], line[None, :])
    share = np.array([((radius > low) & (radius <= high)).mean() for low, high in OCTAVES])
    # A median of few independent coefficients lies below their mean, so coarse octaves are met less tightly.
    assert np.abs(found - 10 * np.log10(0.02**2 * share))[:3].max() < 0.25
    assert abs(found[3] - 10 * np.log10(0.02**2 * share[3])) < 1.0


def test_octaves_are_radial_and_disjoint():
    for i, frequency in enumerate((0.35, 0.18, 0.09, 0.047)):
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        wave = 0.1 * np.sin(2 * np.pi * frequency * (0.6 * rows + 0.8 * columns))
        found = measure_octaves(wave.astype(np.float32), ALL)
        assert found.argmax() == i
        assert found[i] == pytest.approx(10 * np.log10(0.1**2 / 2), abs=0.5)


def test_slow_tone_is_no_noise():
    y, x = (values / SHAPE[0] for values in np.mgrid[: SHAPE[0], : SHAPE[1]])
    surface = (0.2 + 0.5 * x - 0.3 * y + 0.4 * x * y + 0.3 * y * y).astype(np.float32)
    assert np.abs(cut_tiles(surface, ALL)).max() < 1e-6
    np.testing.assert_allclose(measure_octaves(white(0) + surface, ALL), measure_octaves(white(0), ALL), atol=1e-4)


def test_a_few_busy_tiles_do_not_raise_the_noise():
    image = white(1)
    image[:, 140:144] += 0.5
    assert np.abs(measure_octaves(image, ALL) - measure_octaves(white(1), ALL)).max() < 1.0


def test_only_the_mask_counts():
    mask = np.zeros(SHAPE, bool)
    mask[:, :140] = True
    image = white(2)
    image[:, 150:] += white(3, 0.2)[:, 150:]
    np.testing.assert_array_equal(measure_octaves(image, mask), measure_octaves(white(2), mask))


def test_no_lung_no_spectrum():
    with pytest.raises(DrrxError, match="lung field for the noise spectrum: found no square of 64 px inside it"):
        measure_octaves(white(0), np.zeros(SHAPE, bool))


def test_comparison_counts_distance_and_outputs_above_the_films():
    films = [np.array([-45.0, -40, -37, -35]) + shift for shift in np.linspace(-1, 1, 21)]
    norm = make_norm(films)
    outputs = [norm.median_db + np.array(shift) for shift in ([1, -2, 0, 0], [1, -2, 0, 5], [1, -2, 0, 0])]
    report = compare_noise(outputs, norm)
    assert report["distance_db"] == pytest.approx(0.75)
    assert report["worst_db"] == pytest.approx(-2)
    assert report["share_above"] == pytest.approx(1.0)  # 1 dB is above the 95th percentile of the first octave
    assert report["octaves"][OCTAVE_NAMES[3]]["share_above"] == pytest.approx(1 / 3, abs=1e-3)
    assert compare_noise(films, norm)["distance_db"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal", "antidiagonal"])
@pytest.mark.parametrize("pitch", [2, 4, 8])
def test_a_planted_grid_is_found_with_its_height(direction, pitch):
    # A wave of amplitude a in white noise of deviation s: 1 + (a^2 / 4 s^2) (sum w)^2 / sum w^2, with (2/3)^2 of 64^2
    # from a Hann window; a wave of period 2 has all its power in one coefficient: a^2 instead of a^2 / 4.
    if pitch == 2 and direction == "antidiagonal":
        direction = "diagonal"  # the same pattern
    found = measure_peaks(white(0) + grid(pitch, direction, 0.006), ALL)
    expected = 10 * np.log10(1 + (1 if pitch == 2 else 0.25) * (0.006 / 0.02) ** 2 * 4096 * 4 / 9)
    assert found[direction] == pytest.approx(expected, abs=1.5)
    assert found[f"every_{pitch}_px"] == found["largest"] == found[direction]


@pytest.mark.parametrize("make", [white, pink])
@pytest.mark.parametrize("seed", range(3))
def test_noise_without_a_grid_has_no_peak(make, seed):
    assert measure_peaks(make(seed), ALL)["largest"] < 2.5


def test_a_grid_is_found_in_sloped_noise_and_a_ridge_along_an_axis_is_none():
    stripes = ndimage.gaussian_filter1d(white(5, 0.05), 8, axis=0)  # lines: a ridge on the horizontal axis
    assert measure_peaks(stripes + white(6, 0.002), ALL)["largest"] < 2.5
    assert measure_peaks(pink(1) + grid(4, "vertical", 0.01), ALL)["vertical"] > 6


def test_random_blocks_are_found_by_their_edges():
    rows, columns = SHAPE
    coarse = np.random.default_rng(0).normal(0, 0.02, (rows // 4, columns // 4))
    blocks = np.kron(coarse, np.ones((4, 4))).astype(np.float32)
    assert measure_blocks(white(1, 0.005) + blocks, ALL)["every_4_px"] > 6
    assert measure_peaks(white(1, 0.005) + blocks, ALL)["every_4_px"] < 2.5  # a sinc's zeros lie there
    for clean in (white(2), pink(2), white(1, 0.005) + ndimage.gaussian_filter(white(3, 0.1), 2)):
        assert measure_blocks(clean, ALL)["largest"] < 2.5


def film(lung=0.2, body=0.7):
    rows, columns = np.mgrid[:512, :480] / 512
    image = np.full(rows.shape, body)
    image[np.abs(columns - 0.47) > 0.43] = 0.0
    for middle in (0.27, 0.68):
        image[((columns - middle) / 0.11) ** 2 + ((rows - 0.45) / 0.25) ** 2 < 1] = lung
    return ndimage.gaussian_filter(image, 2).astype(np.float32)


@pytest.mark.parametrize(("lung", "body"), [(0.2, 0.7), (0.05, 0.5), (0.5, 0.8)])
def test_lung_field_is_in_the_lungs(lung, body):
    mask, image = find_lung_field(film(lung, body)), film(lung, body)
    assert mask.shape == image.shape
    assert (np.abs(image[mask] - lung) < 0.05).mean() > 0.97
    assert 0.5 < mask.sum() / (np.abs(image - lung) < 0.05).sum() <= 1.0
    assert mask[:, :240].any()
    assert mask[:, 240:].any()


def test_lung_field_of_a_blank_image_is_two_boxes():
    mask = find_lung_field(np.full((512, 512), 0.5, np.float32))
    assert 0.05 < mask.mean() < 0.2
