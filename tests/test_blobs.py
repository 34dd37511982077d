import numpy as np
import pytest
from scipy import ndimage

from drrx.evaluate.blobs import compare_blobs, find_blobs
from drrx.pairs.films import PIXEL_MM

SHAPE = (300, 320)
ALL = np.ones(SHAPE, bool)


def scene(*discs, lines=()):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 0.3)
    for row, column, diameter_mm, contrast in discs:
        image[np.hypot(rows - row, columns - column) < diameter_mm / 2 / PIXEL_MM] += contrast
    for column, width_mm, contrast in lines:
        image[np.abs(columns - column) < width_mm / 2 / PIXEL_MM] += contrast
    return image.astype(np.float32)


@pytest.mark.parametrize("diameter_mm", [6.0, 9.0, 13.0, 20.0])
def test_a_disc_has_the_strength_of_its_closed_form(diameter_mm):
    # -sigma^2 LoG of a disc of radius R in its middle: c (R/sigma)^2 exp(-R^2 / 2 sigma^2), 2 c / e at R^2 = 2 sigma^2.
    found = find_blobs(scene((150, 160, diameter_mm, 0.1)), ALL)
    assert found[0] == pytest.approx(0.2 / np.e, rel=0.06)
    assert len(found) == 1 or found[1] < 0.3 * found[0]


def test_two_nodules_are_two_blobs_and_a_dark_one_is_none():
    found = find_blobs(scene((100, 100, 10, 0.1), (200, 220, 13, 0.06), (200, 80, 10, -0.1)), ALL)
    assert (found > 0.02).sum() == 2


def test_ribs_and_places_outside_the_lung_are_none():
    assert (find_blobs(scene(lines=((160, 8, 0.2),)), ALL) > 0.01).sum() == 0
    mask = ALL.copy()
    mask[:, 150:] = False
    assert (find_blobs(scene((150, 200, 10, 0.1)), mask) > 0.01).sum() == 0


def textured(seed):
    return (0.3 + 0.4 * ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 8)).astype(np.float32)


def test_invented_nodules_raise_the_rate():
    films = [find_blobs(textured(seed), ALL) for seed in range(8)]
    same = [find_blobs(textured(seed), ALL) for seed in range(20, 28)]
    spots = scene((80, 80, 12, 0.3), (200, 200, 12, 0.3), (80, 240, 12, 0.3)) - np.float32(0.3)
    more = [find_blobs(textured(seed) + spots, ALL) for seed in range(20, 28)]
    groups = [f"c{i}" for i in range(8)]
    calm, busy = (compare_blobs(films, outputs, groups, 200) for outputs in (same, more))
    assert calm["films_rate"] == 2.0
    assert 1.0 < calm["rate"][0] < 3.5
    assert busy["rate"][0] - calm["rate"][0] == pytest.approx(3.0, abs=1.0)
    assert busy["rate"][1] > calm["rate"][2]
