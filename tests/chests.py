"""Small chests made of labels, for tests of places."""

import numpy as np

from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume

STEP = 2.5
Z, Y, X = (np.arange(n) * STEP - o for n, o in ((96, 120), (72, 90), (120, 150)))
Z, Y, X = Z[:, None, None], Y[None, :, None], X[None, None, :]


def make_chest():
    """Lungs around two domes, a heart that leans to the left, a trachea that forks 20 mm above the middle."""
    labels = np.full((96, 72, 120), Label.BODY, np.uint8)
    for side, upper, lower in ((-1, 11, 13), (1, 14, 15)):
        lung = ((X - side * 70) / 55) ** 2 + (Y / 75) ** 2 + (Z / 105) ** 2 < 1
        dome = (X - side * 70) ** 2 + (Y + 20) ** 2 + (Z + 105) ** 2 < 65**2
        labels[lung & ~dome & (Z >= 0)] = upper
        labels[lung & ~dome & (Z < 0)] = lower
    heart = ((X - 25) / 55) ** 2 + ((Y + 30) / 40) ** 2 + ((Z + 20) / 50) ** 2 < 1
    labels[heart | ((np.abs(X) < 20) & (np.abs(Y) < 25) & (Z > -60) & (Z < 95))] = Label.MEDIASTINUM
    tube = (X**2 + Y**2 < 64) & (Z > 20) & (Z < 110)
    fork = (np.abs(X) < 30) & (Y**2 + (Z - 18) ** 2 < 36)
    labels[tube | fork] = Label.AIRWAY
    labels[:, [0, -1]] = labels[:, :, [0, -1]] = Label.OUTSIDE
    return Volume.from_spacing(labels, (STEP,) * 3, (-150.0, -90.0, -120.0))


def make_case(slice_mm=2.5, hu_lung=-860, lung_mm=(34.0, 40.0, 70.0), vessel=True):
    """Two ellipsoidal lungs in a box of tissue; a straight vessel in each."""
    spacing = (slice_mm, 1.5, 1.5)
    shape = tuple(round(size / step) for size, step in zip((180, 150, 200), spacing, strict=True))
    labels = np.full(shape, Label.BODY, np.uint8)
    volume = Volume.from_spacing(labels, spacing, (-100.0, -75.0, -90.0))
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij", sparse=True)
    x, y, z = x * 1.5 - 100, y * 1.5 - 75, z * slice_mm - 90
    for side, upper, lower, vessels in ((-1, 11, 13, 5), (1, 14, 15, 6)):
        radius = ((x - side * 45) / lung_mm[0]) ** 2 + (y / lung_mm[1]) ** 2 + (z / lung_mm[2]) ** 2
        labels[(radius < 1) & (z >= 0)] = upper
        labels[(radius < 1) & (z < 0)] = lower
        if vessel:
            labels[(radius < 1) & ((x - side * 45) ** 2 + (y - 10) ** 2 < 9)] = vessels
    labels[:, [0, -1]] = labels[:, :, [0, -1]] = Label.OUTSIDE
    hu = np.where(labels == Label.OUTSIDE, -1000, np.where(labels >= 11, hu_lung, 40)).astype(np.int16)
    return Volume(hu, volume.world_from_index), Anatomy(Volume(labels, volume.world_from_index))
