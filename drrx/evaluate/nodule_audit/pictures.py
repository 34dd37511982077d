"""A picture of inserted nodules, in CT and radiographs, with real ones below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.mask import decode_mask
from drrx.evaluate.nodule_audit.cube import SIZE_MM, Hu, Mask, cut_cube, find_body
from drrx.evaluate.nodule_audit.figures import make_figure
from drrx.evaluate.nodule_audit.look import project_slab
from drrx.evaluate.nodule_audit.results import Inserted, Shown
from drrx.evaluate.nodule_audit.settings import EvaluateNodulesSettings
from drrx.io.image import read_image
from drrx.nodule.patch import insert_nodules
from drrx.records.nodule_library import LibraryPatch
from drrx.volume import Volume

ACROSS = 3  # nodules in a row, four panels each
LUNG_WINDOW_HU = (-1350.0, 150.0)
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """An inserted nodule and the cube of CT around it, HU ``[z, y, x]`` and mask at 1 mm."""

    inserted: Inserted
    hu: Hu
    mask: Mask


def make_picture(inserted: Inserted, ct: Volume) -> Picture:
    """Cut the cube around a nodule out of its CT."""
    cube, mask = cut_cube(insert_nodules(ct, [inserted.patch]), inserted.patch.grid)
    return Picture(inserted, cube.values, mask)


def draw_nodules(nodules: Sequence[Picture], library: Sequence[LibraryPatch], settings: EvaluateNodulesSettings) -> Any:
    """Return a figure: per nodule an axial CT slice, DRR, CXR and CXR with the mask's outline; real ones below.

    Crops have the same size in the chest and, but for the CT slices (lung window), the same share of black and white.
    """
    columns, rows = 4 * ACROSS, -(-len(nodules) // ACROSS)
    real = _spread(library, columns)
    figure = make_figure(1.15 * columns, 1.28 * (rows + (2 if real else 0)))
    grid = figure.subplots(rows + (2 if real else 0), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, picture in enumerate(nodules):
        row, column = number // ACROSS, 4 * (number % ACROSS)
        _draw_inserted(grid[row, column : column + 4], picture, settings.crop_mm)
    for column, patch in enumerate(real):
        _draw_real(grid[-2:, column], patch)
    return figure


def _spread(library: Sequence[LibraryPatch], count: int) -> list[LibraryPatch]:
    """Return ``count`` nodules of a library, evenly from small to large."""
    ordered = sorted(library, key=lambda patch: float(patch.mask.sum()) * patch.ct.voxel_volume_mm3)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, count)]


def _draw_inserted(panels: Sequence[Any], picture: Picture, crop_mm: float) -> None:
    inserted, nodule = picture.inserted, picture.inserted.nodule
    _draw_slice(panels[0], picture.hu, picture.mask, crop_mm)
    title = f"{nodule.kind.replace('_', ' ')}, {nodule.margin}, {nodule.diameter_mm:.0f} mm\n{inserted.name}"
    panels[0].set_title(title, fontsize=5, loc="left")
    if not inserted.shown:
        return
    shown = inserted.shown[0]
    drr = _crop(read_image(shown.folder / "drr.png"), shown, crop_mm)
    cxr = _crop(read_image(shown.folder / "cxr.png"), shown, crop_mm)
    outline = _crop(decode_mask(shown.annotation.mask).astype(np.float32), shown, crop_mm)
    for axes, image, name in zip(panels[1:], (drr, cxr, cxr), (f"DRR {shown.view.name}", "CXR", "mask"), strict=True):
        _draw_gray(axes, image)
        axes.set_title(name, fontsize=5)
    panels[3].contour(outline, [0.5], colors="tab:red", linewidths=0.7)


def _draw_real(panels: Sequence[Any], patch: LibraryPatch) -> None:
    cube, mask = cut_cube(patch.ct, patch.ct.with_values(patch.mask))
    _draw_slice(panels[0], cube.values, mask, SIZE_MM)
    body = find_body(cube.values, mask)
    panels[0].set_title(f"real {patch.real_nodule_id}, {body.diameter_mm:.0f} mm", fontsize=5)
    _draw_gray(panels[1], project_slab(cube.values, body)[::-1])
    panels[1].set_title("projected", fontsize=5)


def _draw_slice(axes: Any, hu: Hu, mask: Mask, crop_mm: float) -> None:
    """Draw the axial slice through a cube's middle; the patient's right lies left, the front above."""
    cut = max(0, round((SIZE_MM - crop_mm) / 2))
    middle = hu[round(float(np.argwhere(mask)[:, 0].mean()))]
    inner = slice(cut, SIZE_MM - cut)
    low, high = LUNG_WINDOW_HU
    axes.imshow(middle[inner, inner], cmap="gray", vmin=low, vmax=high)


def _draw_gray(axes: Any, image: NDArray) -> None:
    low, high = np.percentile(image, (1, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-3))


def _crop(image: Image, shown: Shown, crop_mm: float) -> Image:
    """Cut a square around the nodule, ``crop_mm`` in the chest; what lies outside the image is black."""
    x, y = shown.annotation.centroid_px
    half = round(crop_mm / 2 * shown.annotation.magnification / float(np.mean(shown.view.pixel_spacing_mm)))
    padded = np.pad(image, half)
    row, column = int(y), int(x)
    return padded[row : row + 2 * half, column : column + 2 * half]
