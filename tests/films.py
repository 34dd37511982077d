"""Made films for tests of pairs, training and restoration."""

import csv

import numpy as np
from PIL import Image
from scipy import ndimage


def make_film(seed, height=300, width=280):
    """Ribs, a heart and texture on a dark ground, in 0..1; enough structure to blur and to restore."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    film = 0.25 + 0.35 * np.exp(-(((columns - 0.55) / 0.15) ** 2 + ((rows - 0.6) / 0.25) ** 2))
    for start in np.arange(0.05, 1.0, 0.11):
        line = rows - start - 0.25 * (columns - 0.5) ** 2
        film += 0.18 * (np.abs(line) < 0.012) + 0.08 * (np.abs(line) < 0.025)
    film += 0.04 * ndimage.gaussian_filter(rng.normal(size=film.shape), 2) * 6
    return np.clip(ndimage.gaussian_filter(film, 0.6), 0, 1).astype(np.float32)


def write_films(folder, num=12):
    """Write PNGs and their index; return its path."""
    (folder / "train").mkdir(parents=True)
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "patient", "licence", "pixel_spacing_mm", "low_contrast"])
        for i in range(num):
            Image.fromarray((make_film(i) * 255).astype(np.uint8)).save(folder / "train" / f"f{i}.png")
            licence = "CC BY-NC 4.0" if i == 0 else "CC BY 4.0"
            writer.writerow([f"f{i}.png", f"p{i}", licence, "", "1" if i == 1 else "0"])
    return folder / "index.csv"
