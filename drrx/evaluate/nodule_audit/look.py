"""How a nodule in a cube shows in a parallel projection from front to back: contrast, edge, size, outline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve

from drrx.evaluate.nodule_audit.cube import Body, Hu, Mask, find_body

MU_WATER_PER_MM = 0.0205  # 120 kVp behind 10-20 cm of tissue
SLAB_MM = 5.0  # tissue so far before and behind the nodule is projected with it
REACH = 0.75  # the background is filled in so many diameters, plus MARGIN_MM, around the centre
MARGIN_MM = 3.0

NUM_ANGLES, STEP_MM = 72, 0.25
RIM_MM = 2.0  # the steepest fall is looked for so far on both sides of the outline

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """One nodule, measured.

    Attributes
    ----------
    diameter_mm, hu_core, hu_median, hu_lung, contact
        Of the body in the cube (``Body``).
    contrast
        What the nodule and its rim add to -ln(I/I0) of local lung, mean within a quarter of its diameter.
    contrast_plain
        The same disc in the projection of all tissue, above a background that is filled in from around it: with what
        lies before and behind.
    size_mm
        Diameter of the disc whose area lies above half of ``contrast``.
    edge_per_mm
        Steepest fall at the rim over ``contrast``: one over the width of the rim. Profiles are aligned at half contrast
        before their mean is taken, so that an uneven outline does not count as a soft one.
    gradient_per_mm
        The same fall, not over ``contrast``.
    unevenness
        Standard deviation of the outline's distance from the centre over its mean: 0 for a disc.
    grain
        Standard deviation around the mean profile within half the radius, over ``contrast``.
    """

    diameter_mm: float
    hu_core: float
    hu_median: float
    hu_lung: float
    contact: float
    contrast: float
    contrast_plain: float
    size_mm: float
    edge_per_mm: float
    gradient_per_mm: float
    unevenness: float
    grain: float


def measure_cube(hu: Hu, mask: Mask) -> Look:
    """Measure one nodule; ``hu`` and ``mask`` are ``[z, y, x]`` at 1 mm, the mask serves to find it only."""
    body = find_body(hu, mask)
    added, center = project_body(hu, body), body.center_index[[0, 2]]
    quarter = _disc(added.shape, center, max(body.diameter_mm / 4, 1.0))
    contrast = float(added[quarter].mean())
    reach = REACH * body.diameter_mm + MARGIN_MM
    plane = project_slab(hu, body)
    plain = float((plane - fill_background(plane, _disc(plane.shape, center, reach)))[quarter].mean())
    rays = _sample_rays(added, center, reach)
    radii = _find_outline(rays, contrast / 2)
    fall = _steepest_fall(rays, radii)
    inner = rays[:, : max(3, round(body.diameter_mm / 4 / STEP_MM))]
    return Look(
        diameter_mm=body.diameter_mm, hu_core=body.hu_core, hu_median=body.hu_median, hu_lung=body.hu_lung,
        contact=body.contact, contrast=contrast, contrast_plain=plain, size_mm=2 * float(np.sqrt(np.mean(radii**2))),
        edge_per_mm=fall / contrast, gradient_per_mm=fall, unevenness=float(radii.std() / radii.mean()),
        grain=float((inner - inner.mean(axis=0)).std() / contrast),
    )  # fmt: skip


def project_body(hu: Hu, body: Body) -> Plane:
    """Return what the nodule and its rim add to -ln(I/I0), ``[z, x]``, straight from front to back.

    Added to local lung, so that wall and vessels before and behind it do not count.
    """
    added = np.where(body.mask | body.rim, hu.astype(np.float64) - body.hu_lung, 0)
    return np.asarray(MU_WATER_PER_MM / 1000 * added.sum(axis=1))


def project_slab(hu: Hu, body: Body) -> Plane:
    """Return -ln(I/I0) ``[z, x]`` of the slab that holds the nodule, straight from front to back."""
    reach = body.diameter_mm / 2 + SLAB_MM
    y = np.arange(hu.shape[1])
    slab = hu[:, np.abs(y - body.center_index[1]) <= reach].astype(np.float64)
    return np.asarray(MU_WATER_PER_MM * np.maximum(0, 1 + slab / 1000).sum(axis=1))


def fill_background(plane: Plane, hole: Mask) -> Plane:
    """Return the plane with the hole filled by the harmonic function of its rim (Laplace's equation, 5 points)."""
    inside = np.flatnonzero(hole)
    number = np.full(plane.size, -1)
    number[inside] = np.arange(len(inside))
    rows, columns, values, right = [], [], [], np.zeros(len(inside))
    for step in (1, -1, plane.shape[1], -plane.shape[1]):
        other = inside + step
        unknown = number[other] >= 0
        rows.append(np.flatnonzero(unknown))
        columns.append(number[other[unknown]])
        values.append(np.full(unknown.sum(), -1.0))
        right[~unknown] += plane.ravel()[other[~unknown]]
    every = np.arange(len(inside))
    matrix = csr_matrix(
        (np.concatenate([*values, np.full(len(inside), 4.0)]),
         (np.concatenate([*rows, every]), np.concatenate([*columns, every])))
    )  # fmt: skip
    filled = plane.copy()
    filled.ravel()[inside] = spsolve(matrix, right)
    return filled


def _disc(shape: tuple[int, ...], center: NDArray[np.float64], radius: float) -> Mask:
    """Return the pixels within ``radius`` of the centre, border pixels never."""
    rows, columns = np.indices(shape)
    disc = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2
    disc[[0, -1]], disc[:, [0, -1]] = False, False
    return np.asarray(disc)


def _sample_rays(added: Plane, center: NDArray[np.float64], reach: float) -> Plane:
    """Return ``[angle, distance]``: values along rays from the centre, every ``STEP_MM``."""
    distances = np.arange(0, reach, STEP_MM)
    angles = np.linspace(0, 2 * np.pi, NUM_ANGLES, endpoint=False)[:, None]
    where = center[0] + np.sin(angles) * distances, center[1] + np.cos(angles) * distances
    return np.asarray(ndimage.map_coordinates(added, where, order=1, mode="nearest"))


def _find_outline(rays: Plane, level: float) -> NDArray[np.float64]:
    """Return per angle the distance at which a ray first falls below ``level``, mm."""
    below = rays < level
    below[:, -1] = True
    return np.maximum(below.argmax(axis=1), 1) * STEP_MM


def _steepest_fall(rays: Plane, radii: NDArray[np.float64]) -> float:
    """Return the steepest fall per mm of the mean of all rays, shifted so that their outlines meet."""
    offsets = np.arange(-RIM_MM, RIM_MM + STEP_MM, STEP_MM)
    where = np.clip((radii[:, None] + offsets) / STEP_MM, 0, rays.shape[1] - 1)
    rows = np.broadcast_to(np.arange(len(rays))[:, None], where.shape)
    profile = ndimage.map_coordinates(rays, [rows, where], order=1).mean(axis=0)
    width = round(1 / STEP_MM)
    return float((profile[:-width] - profile[width:]).max())
