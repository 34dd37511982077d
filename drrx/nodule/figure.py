"""Draw the picture of all classes in docs/nodules.md.

Run ``python -m drrx.nodule.figure docs/images/nodule_classes.jpg``. Nothing in it is from a patient.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from drrx.nodule.composite import composite
from drrx.nodule.form import VOLUME_TOLERANCE, DrawnForm, fit_volume
from drrx.nodule.model import Draft, draw_nodule
from drrx.nodule.patch import grid_affine, sample_ct
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.anatomy import Label
from drrx.seeds import make_rng
from drrx.volume import Volume

HALF_PX, SPACING_MM, GAP_PX, TEXT_PX, COLUMNS = 75, 0.35, 6, 16, 6
PSF_MM = (1.5, 0.9, 0.9)
WINDOW_HU, FULL_PATH_HU_MM = (-1000.0, 200.0), 16000.0
HU_LUNG, GAMMA = -860.0, 0.6  # thin strands would not show in a linear shadow

# name -> diameter in mm, seed, settings
CLASSES: Mapping[str, tuple[float, int, dict[str, Any]]] = {
    "smooth": (16, 1, {"margin": "smooth"}),
    "lobulated": (18, 40, {"margin": "lobulated"}),
    "spiculated": (18, 30, {"margin": "spiculated"}),
    "halo": (15, 0, {"margin": "spiculated"}),
    "cavity": (22, 40, {"margin": "lobulated", "cavity_share": 1.0}),
    "tags and vessels": (18, 2, {"margin": "lobulated", "strands": True}),
    "part-solid": (20, 10, {"kind": "part_solid", "margin": "lobulated"}),
    "ground glass": (20, 10, {"kind": "ground_glass", "margin": "lobulated"}),
    "calcified: diffuse": (12, 0, {"kind": "calcified", "margin": "smooth"}),
    "central": (14, 0, {"kind": "calcified", "margin": "smooth"}),
    "laminated": (14, 0, {"kind": "calcified", "margin": "smooth"}),
    "popcorn": (16, 0, {"kind": "calcified", "margin": "lobulated"}),
}


def make_scene() -> tuple[Volume, Volume]:
    """Return CT and labels of even lung, 80 mm wide, with the chest wall on one side and a vessel."""
    labels = np.full((80, 80, 80), Label.LOBE_RIGHT_LOWER, dtype=np.uint8)
    labels[:, :, :18] = Label.BODY
    y, x = np.mgrid[:80, :80]
    labels[:, (y - 57) ** 2 + (x - 58) ** 2 <= 5] = Label.VESSEL_RIGHT
    noise = make_rng(0).normal(0, 25, labels.shape)
    hu = np.where(labels == Label.LOBE_RIGHT_LOWER, HU_LUNG, 40.0) + noise
    volume = Volume.from_spacing(hu.astype(np.float32), (1.0, 1.0, 1.0), (-40.0, -40.0, -40.0))
    return volume, volume.with_values(labels)


def draw_class(name: str) -> Draft:
    """Draw the nodule of one tile: the first seed, from that of the class on, that shows the class."""
    diameter, first, chosen = CLASSES[name]
    settings = SampleNodulesSettings(**{"kind": "solid", "cavity_share": 0.0, "strands": False, **chosen})
    return next(
        draft
        for seed in range(first, first + 1000)
        if _shows(name, draft := draw_nodule(make_rng(seed), settings, diameter, diameter))
    )


def _shows(name: str, draft: Draft) -> bool:
    shape = draft.form.shape
    assert shape is not None, "drawn from numbers"
    found = {
        "tags and vessels": draft.num_tags == 2 and draft.num_vessels == 2,
        "calcified: diffuse": not shape.inclusions and not shape.num_laminae,
        "central": len(shape.inclusions) == 1,
        "laminated": shape.num_laminae > 0,
        "popcorn": len(shape.inclusions) > 3,
    }
    return found.get(name, True) and (shape.halo_width_mm > 1.5) == (name == "halo")


def render_tile(name: str, ct: Volume, labels: Volume) -> NDArray[np.uint8]:
    """Return an axial slice through the middle of a nodule above its shadow from the front."""
    draft, center = draw_class(name), np.zeros(3)
    form, rendered = fit_volume(
        draft.form, draft.diameter_mm, lambda form: form.render(SPACING_MM, PSF_MM), VOLUME_TOLERANCE
    )
    if isinstance(form, DrawnForm) and draft.num_tags:
        form = form.hold_on(make_rng(1), labels, center, draft.num_tags, draft.num_vessels)
    rendered = form.complete(rendered, PSF_MM)
    affine = rendered.place(center)
    before = sample_ct(ct, rendered.occupancy.shape, affine)
    added = composite(before, rendered, draft.kind, draft.targets, HU_LUNG) - before
    size = 2 * HALF_PX + 1
    tile = np.zeros((size, size, size), dtype=np.float32)
    low = HALF_PX - rendered.center_index
    inner = [slice(max(0, -a), min(n, size - a)) for a, n in zip(low, added.shape, strict=True)]
    outer = tuple(slice(a + w.start, a + w.stop) for a, w in zip(low, inner, strict=True))
    tile[outer] = added[tuple(inner)]
    ground = sample_ct(ct, (1, size, size), grid_affine(center, np.array([0, HALF_PX, HALF_PX]), SPACING_MM))[0]
    axial = (ground + tile[HALF_PX] - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0])
    path = np.clip(tile.sum(axis=1)[::-1] * SPACING_MM / FULL_PATH_HU_MM, 0, 1)
    return (np.clip(np.concatenate([axial, path**GAMMA]), 0, 1) * 255).astype(np.uint8)


def make_figure() -> NDArray[np.uint8]:
    """Return the picture, uint8 ``[row, column]``."""
    ct, labels = make_scene()
    tiles = [_caption(render_tile(name, ct, labels), name) for name in CLASSES]
    rows = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
    return np.concatenate(rows)


def _caption(tile: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    image = Image.fromarray(np.pad(tile, ((TEXT_PX, GAP_PX), (GAP_PX // 2, GAP_PX // 2))))
    ImageDraw.Draw(image).text((GAP_PX, 2), text, fill=255)
    return np.asarray(image)


if __name__ == "__main__":
    Image.fromarray(make_figure()).save(Path(sys.argv[1]), quality=85)
