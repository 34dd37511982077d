"""A degrader for tests of the machinery, quick and with a hash of its own, that counts its calls."""

import numpy as np
from scipy import ndimage

from drrx.seeds import make_rng


class FakeDegrader:
    """Haze, blur and noise from the seed."""

    def __init__(self, name="munit_lq", sha256="ab" * 32):
        self.name, self.sha256, self.calls = name, sha256, 0

    def degrade(self, film, seed):
        self.calls += 1
        noise = make_rng(seed).normal(0, 0.01, film.shape)
        return np.clip(0.2 + 0.5 * (ndimage.gaussian_filter(film, 1.5) + noise), 0, 1).astype(np.float32)
