"""A thorax of ellipsoids for tests: the truth is known by construction."""

from dataclasses import dataclass

import numpy as np

from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume


@dataclass
class Thorax:
    """CT and true masks on the same grid, ``[slice, row, column]``."""

    ct: Volume
    body: np.ndarray
    right: np.ndarray
    left: np.ndarray
    trachea: np.ndarray
    heart: np.ndarray
    bone: np.ndarray
    nodule: np.ndarray


def make_thorax(spacing_mm=(5.0, 3.0, 3.0), size_mm=(320.0, 260.0, 360.0), lungs=True, table=True, noise_hu=15.0):
    """Draw a trunk with two lungs, trachea, heart, spine, ribs-like shell, a pleural nodule and a table."""
    shape = tuple(round(size / mm) for size, mm in zip(size_mm, spacing_mm, strict=True))
    volume = Volume.from_spacing(np.zeros(shape, np.int16), spacing_mm, (-size_mm[2] / 2, -size_mm[1] / 2, -160.0))
    index = np.indices(shape).reshape(3, -1).T
    x, y, z = volume.to_world(index).T.reshape(3, *shape)

    def ellipsoid(center, radii):
        return sum(((w - c) / r) ** 2 for w, c, r in zip((x, y, z), center, radii, strict=True)) <= 1

    body = (x / 165) ** 2 + ((y + 5) / 105) ** 2 <= 1
    right = ellipsoid((-70, 0, 10), (55, 75, 120)) & ~ellipsoid((-70, -10, -130), (62, 80, 80))
    left = ellipsoid((70, 0, 10), (55, 75, 120)) & ~ellipsoid((70, -10, -135), (62, 80, 80))
    heart = ellipsoid((15, -20, 5), (52, 45, 75))
    right, left = right & ~heart, left & ~heart
    trachea = (x**2 + (y - 5) ** 2 <= 8.5**2) & (z > 30)
    nodule = ellipsoid((-115, 0, 20), (10, 10, 10)) & right
    spine = x**2 + ((y - 62) / 1.1) ** 2 <= 17**2
    shell = ((x / 145) ** 2 + ((y + 5) / 92) ** 2 >= 1) & ((x / 150) ** 2 + ((y + 5) / 96) ** 2 <= 1)
    bone = (spine | (shell & (np.mod(z, 24) < 8))) & body
    hu = np.full(shape, -1000.0)
    hu[body], hu[body & ~((x / 155) ** 2 + ((y + 5) / 97) ** 2 <= 1)] = 45.0, -90.0
    hu[bone] = 400.0
    if lungs:
        hu[right | left] = -850.0
        hu[(right | left) & (np.hypot(np.mod(y, 30) - 15, np.mod(z, 30) - 15) < 3)] = 30.0  # vessels
        hu[trachea], hu[nodule] = -1000.0, 20.0
    if table:
        hu[(np.abs(y - 114) < 2.6) & (np.abs(x) < 150)] = 120.0
    hu += np.random.default_rng(0).normal(0, noise_hu, shape)
    return Thorax(
        volume.with_values(np.rint(hu).astype(np.int16)), body, right, left, trachea & body, heart, bone, nodule
    )


def make_labels(thorax):
    """Return the true anatomy; all that is dense in a lung, a nodule too, counts as vessel, as segmentation has it."""
    labels = np.where(thorax.body, np.uint8(Label.BODY), np.uint8(Label.OUTSIDE))
    labels[thorax.heart & thorax.body], labels[thorax.trachea] = Label.MEDIASTINUM, Label.AIRWAY
    labels[thorax.bone] = Label.BONE
    dense = thorax.ct.values > -500
    labels[thorax.right] = np.where(dense, Label.VESSEL_RIGHT, Label.LOBE_RIGHT_UPPER)[thorax.right]
    labels[thorax.left] = np.where(dense, Label.VESSEL_LEFT, Label.LOBE_LEFT_UPPER)[thorax.left]
    return Anatomy(thorax.ct.with_values(labels))


def dice(first, second):
    """Return the overlap of two masks, 0..1."""
    return 2 * (first & second).sum() / (first.sum() + second.sum())
