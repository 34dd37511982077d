"""Errors of projectors against closed forms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from drrx.benchmark.phantoms import SPHERES_MM, Ellipsoid, Shape, make_boxes, make_chest, make_spheres, path_mm
from drrx.geometry import View

GRAIN_SIGMA_MM = 2.0  # on the detector: finer than anatomy of interest, coarser than a voxel's shadow
EDGE_MM = 6.0  # so far on the detector from any silhouette an image counts as flat
Image = NDArray[np.floating]

PHANTOMS: dict[str, Callable[[], Sequence[Shape]]] = {"chest": make_chest, "boxes": make_boxes, "spheres": make_spheres}


@dataclass(frozen=True)
class Accuracy:
    """One projector on one phantom.

    Attributes
    ----------
    peer, phantom
        What was measured.
    relative_rmse
        Root mean square error over root mean square of the exact image.
    grain
        See ``measure_grain``; chest only: boxes have edges inside their shadow, the spheres are nowhere flat.
    peaks
        Diameter in mm -> mean largest path of such spheres over the true one; spheres only.
    skipped
        Why there are no numbers.
    """

    peer: str
    phantom: str
    relative_rmse: float | None = None
    grain: float | None = None
    peaks: dict[str, float] | None = None
    skipped: str | None = None


def compare(peer: str, phantom: str, shapes: Sequence[Shape], image: Image, view: View) -> Accuracy:
    """Return the errors of ``image`` against the exact path through ``shapes``, both in mm."""
    exact = path_mm(shapes, view)
    rmse = float(np.linalg.norm(image - exact) / np.linalg.norm(exact))
    if phantom == "chest":
        return Accuracy(peer, phantom, rmse, grain=measure_grain(image, exact, find_flat(shapes, view), view))
    if phantom == "spheres":
        spheres = [shape for shape in shapes if isinstance(shape, Ellipsoid)]
        return Accuracy(peer, phantom, rmse, peaks=measure_peaks(spheres, image, view))
    return Accuracy(peer, phantom, rmse)


def find_flat(shapes: Sequence[Shape], view: View) -> NDArray[np.bool_]:
    """Return where the exact path is smooth: inside the largest silhouette, ``EDGE_MM`` from every silhouette."""
    ends = view.pixel_world_mm(*np.indices(view.shape))
    flat = shapes[0].chord_mm(view.source_world_mm, ends) > 0
    pixel_mm = min(view.pixel_spacing_mm)
    for shape in shapes:
        inside = shape.chord_mm(view.source_world_mm, ends) > 0
        if inside.any() and not inside.all():
            flat &= (distance_transform_edt(inside) + distance_transform_edt(~inside)) * pixel_mm > EDGE_MM
    return np.asarray(flat)


def measure_grain(image: Image, exact: Image, flat: NDArray[np.bool_], view: View) -> float:
    """Return the fine texture that a projector adds where there is none, as a share of the path.

    Standard deviation over the flat pixels of ``e - G e``, over the mean exact path there; ``e`` is image minus exact
    and ``G`` a Gaussian of ``GRAIN_SIGMA_MM`` over flat pixels only, so that no edge error leaks in.
    """
    sigma = GRAIN_SIGMA_MM / min(view.pixel_spacing_mm)
    error = np.where(flat, image - exact, 0.0)
    smooth = gaussian_filter(error, sigma) / np.maximum(gaussian_filter(flat.astype(float), sigma), 1e-9)
    return float((error - smooth)[flat].std() / exact[flat].mean())


def measure_peaks(spheres: Sequence[Ellipsoid], image: Image, view: View) -> dict[str, float]:
    """Return, per diameter, the mean over spheres of the largest path in the shadow over the largest exact one."""
    ends = view.pixel_world_mm(*np.indices(view.shape))
    shares: dict[float, list[float]] = {d: [] for d in SPHERES_MM}
    for sphere in spheres:
        exact = sphere.density * sphere.chord_mm(view.source_world_mm, ends)
        shares[2 * sphere.semi_axes_mm[0]].append(float(image[exact > 0].max() / exact.max()))
    return {f"{diameter:g}": float(np.mean(found)) for diameter, found in shares.items() if found}
