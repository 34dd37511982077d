"""The blur of a scan, found in the scan itself: how wide the edge between air and skin comes out.

In the slices hundreds of places of the skin are fitted, along z those that face head or feet (shoulders, chin, breast).
The table and clothes do not look like skin behind 3 mm of air, and are dropped by the fit.
"""

import dataclasses
from dataclasses import dataclass
from math import hypot
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter

from drrx.nodule.edge import Edges, Patches, fit_edges
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import FWHM_PER_SIGMA
from drrx.records.anatomy import Label
from drrx.records.nodule_shape import Triple
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

NUM_SLICES, NUM_PER_SLICE = 24, 16
NUM_AXIAL = 240
MIN_EDGES_IN_PLANE, MIN_EDGES_AXIAL = 24, 24
REACH_MM, ACROSS_MM = 5.0, 4.0  # half size of a patch along the normal and across it
FAR_MM = 1e3  # out of reach
STRIP_MM = 1.2  # half width of what is looked at in the neighbouring slices
MAX_RMS_SHARE, MAX_AIR_HU, MIN_STEP_HU, MAX_SHIFT_MM = 0.06, -930.0, 800.0, 3.0
MAX_SLOPE = 0.15  # a surface that leans out of the slice is blurred by the slice's thickness too
MAX_AXIAL_SLOPE = 0.6
MIN_WIDTH = 0.4  # in pixels: sharper is the edge of a mask, not of a scan
NORMAL_SIGMA_MM = 3.0
LINEAR_FWHM = FWHM_PER_SIGMA / 6**0.5  # of the Gaussian with the variance of a triangle, in its voxels

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class EdgeWidth:
    """A width found on edges.

    Attributes
    ----------
    fwhm_mm
        Median full width at half maximum of the line spread.
    num_edges
        Places that were fitted well.
    quartiles_mm
        First and third quartile of their widths.
    """

    fwhm_mm: float
    num_edges: int
    quartiles_mm: tuple[float, float]


@dataclass(frozen=True)
class ScanBlur:
    """The blur that a nodule gets, and how it was found.

    Attributes
    ----------
    fwhm_mm
        Gaussian blur along (z, y, x); zeros are none.
    in_plane_from, axial_from
        ``edges`` of this scan; else the ``setting`` and the ``slice_spacing``; or ``none``.
    in_plane, axial
        What the edges gave, without the sampling; ``None`` where there were too few.
    """

    fwhm_mm: Triple
    in_plane_from: Literal["edges", "setting", "none"]
    axial_from: Literal["edges", "slice_spacing", "none"]
    in_plane: EdgeWidth | None = None
    axial: EdgeWidth | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)


def find_scan_blur(ct: Volume, labels: Volume, settings: SampleNodulesSettings) -> ScanBlur:
    """Return the blur for nodules in this CT.

    A CT is seen through its grid: between voxels the projector interpolates linearly, which blurs anatomy by a triangle
    two voxels wide. A nodule on its fine grid is not, so its blur is that of the scan and of the triangle together.

    Parameters
    ----------
    ct, labels
        Canonical CT and its label map, on one grid.
    settings
        ``blur``: ``scan`` (edges; where there are too few ``psf_fwhm_mm`` and the slice spacing), ``fixed``, ``none``.
    """
    if settings.blur == "none":
        return ScanBlur((0.0, 0.0, 0.0), "none", "none")
    in_plane = axial = None
    if settings.blur == "scan":
        outside = labels.values == Label.OUTSIDE
        in_plane = measure_in_plane(ct, outside)
        axial = None if in_plane is None else measure_axial(ct, outside, in_plane.fwhm_mm)
    slice_mm, row_mm, column_mm = ct.spacing_mm
    width = settings.psf_fwhm_mm
    if in_plane is not None:
        width = round(hypot(in_plane.fwhm_mm, LINEAR_FWHM * (row_mm + column_mm) / 2), 3)
    thick = slice_mm if axial is None else round(hypot(axial.fwhm_mm, LINEAR_FWHM * slice_mm), 3)
    return ScanBlur(
        (min(thick, settings.psf_axial_max_mm), width, width), "setting" if in_plane is None else "edges",
        "slice_spacing" if axial is None else "edges", in_plane, axial,
    )  # fmt: skip


def measure_in_plane(ct: Volume, outside: Mask) -> EdgeWidth | None:
    """Return the width of edges in the slices; ``None`` with fewer than 24 good ones.

    ``outside`` is bool ``[slice, row, column]``: air, table and clothes around the body.
    """
    places, normals = _find_skin(outside, ct.spacing_mm)
    if not len(places):
        return None
    spacing = np.array(ct.spacing_mm)
    reach = int(np.ceil(hypot(REACH_MM, ACROSS_MM) / min(spacing[1:])))
    around = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid([-1, 0, 1], around, around, indexing="ij"), -1).reshape(-1, 3)
    tangents = np.stack([np.zeros(len(normals)), -normals[:, 2], normals[:, 1]], 1)
    upward = np.tile([1.0, 0.0, 0.0], (len(normals), 1))
    patches = _cut_patches(ct, places, offsets, (normals, tangents, upward))
    beside = np.abs(patches.s_mm) > 1e-6
    edges = fit_edges(_keep(patches, np.abs(patches.t_mm) <= np.where(beside, STRIP_MM, ACROSS_MM)), reach_mm=REACH_MM)
    good = _is_good(edges, float(min(spacing[1:]))) & (np.abs(edges.slopes[:, 1]) <= MAX_SLOPE)
    return _summarise(edges.fwhm_mm[good], MIN_EDGES_IN_PLANE)


def measure_axial(ct: Volume, outside: Mask, in_plane_mm: float) -> EdgeWidth | None:
    """Return the width of edges along z; ``None`` with fewer than 24 good ones.

    The surface leans by ``s`` mm per mm, so that a profile along z holds ``s`` times the blur in the slice: it is
    taken out in quadrature.
    """
    spacing = np.array(ct.spacing_mm)
    places, normals = _find_level_skin(outside, ct.spacing_mm)
    if not len(places):
        return None
    deep = int(np.ceil((REACH_MM + spacing[0]) / spacing[0]))
    wide = [np.arange(-n, n + 1) for n in np.ceil(REACH_MM / spacing[1:]).astype(int)]
    along = np.arange(-deep, deep + 1)
    cross = [(z, y, 0) for z in along for y in wide[0]] + [(z, 0, x) for z in along for x in wide[1] if x]
    rows, columns = (np.tile(axis, (len(normals), 1)) for axis in ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]))
    patches = _cut_patches(ct, places, np.array(cross), (normals, rows, columns))
    edges = fit_edges(patches, front_mm=6.0, behind_mm=5.0, reach_mm=REACH_MM + spacing[0])
    slope = np.hypot(*edges.slopes.T)
    squared = edges.fwhm_mm**2 - (slope * in_plane_mm) ** 2
    good = _is_good(edges, 0.5) & (slope <= MAX_AXIAL_SLOPE) & (squared > 0)
    return _summarise(np.sqrt(squared[good]), MIN_EDGES_AXIAL)


def _is_good(edges: Edges, pixel_mm: float) -> Mask:
    return np.asarray(
        (edges.rms_hu <= MAX_RMS_SHARE * edges.step_hu) & (edges.air_hu <= MAX_AIR_HU) & (edges.step_hu >= MIN_STEP_HU)
        & (np.abs(edges.shift_mm) <= MAX_SHIFT_MM) & (edges.fwhm_mm >= MIN_WIDTH * pixel_mm)
    )  # fmt: skip


def _summarise(widths: NDArray[np.float64], fewest: int) -> EdgeWidth | None:
    if len(widths) < fewest:
        return None
    # In whole micrometres: the last digits of a fit are the machine's.
    first, middle, third = (round(float(value), 3) for value in np.percentile(widths, (25, 50, 75)))
    return EdgeWidth(middle, len(widths), (first, third))


def _find_skin(outside: Mask, spacing_mm: Triple) -> tuple[Indices, NDArray[np.float64]]:
    """Return indices of body voxels beside the outside, and their normals (z, y, x) into the body."""
    places, normals = [np.zeros((0, 3), np.int64)], [np.zeros((0, 3))]
    rng = make_rng(make_seed(0, "scan_blur"))
    sigmas = [NORMAL_SIGMA_MM / mm / 2 for mm in spacing_mm[1:]]
    for z in np.unique(np.linspace(1, len(outside) - 2, NUM_SLICES).round().astype(int)):
        air, body = outside[z], ~outside[z]
        beside = air[2:, 1:-1] | air[:-2, 1:-1] | air[1:-1, 2:] | air[1:-1, :-2]
        row, column = (at + 1 for at in np.nonzero(body[1:-1, 1:-1] & beside))
        if not len(row):
            continue
        # Every second pixel is enough for the direction of the surface.
        grown = np.stack(np.gradient(gaussian_filter(body[::2, ::2].astype(np.float32), sigmas)))
        chosen = rng.permutation(len(row))[:NUM_PER_SLICE]
        row, column = row[chosen], column[chosen]
        inward = (grown[:, row // 2, column // 2] / np.array(spacing_mm[1:])[:, None]).T
        length = np.linalg.norm(inward, axis=1)
        clear = length > 0.02
        places.append(np.stack([np.full(len(row), z), row, column], 1)[clear])
        flat = np.zeros((int(clear.sum()), 1))
        normals.append(np.concatenate([flat, inward[clear] / length[clear, None]], axis=1))
    return np.concatenate(places), np.concatenate(normals)


def _find_level_skin(outside: Mask, spacing_mm: Triple) -> tuple[Indices, NDArray[np.float64]]:
    """The same for skin that faces head or feet: wide steps of the body over 2 mm or one slice."""
    found, inward = [], []
    body = ~outside[:, ::2, ::2]
    count = int(np.ceil(4 / spacing_mm[0]))  # 4 mm of body on one side, of air on the other
    steps = [max(1, round(2.5 / mm / 2)) for mm in spacing_mm[1:]]
    wide = np.ones((2 * steps[0] + 1, 2 * steps[1] + 1), dtype=bool)
    rise = max(1, round(2 / spacing_mm[0]))
    for z in range(count, len(body) - count - rise):
        below, above = body[z - count : z + 1], body[z + rise : z + rise + count + 1]
        for inner, outer, place, normal in ((below, above, z, -1.0), (above, below, z + rise, 1.0)):
            step = inner.all(axis=0) & ~outer.any(axis=0)
            if step.sum() >= wide.size:
                row, column = np.nonzero(binary_erosion(step, wide))
                found += [(place, 2 * y, 2 * x) for y, x in zip(row, column, strict=True)]
                inward += [(normal, 0.0, 0.0)] * len(row)
    chosen = make_rng(make_seed(0, "scan_blur", "axial")).permutation(len(found))[:NUM_AXIAL]
    return np.array(found, dtype=np.int64).reshape(-1, 3)[chosen], np.array(inward).reshape(-1, 3)[chosen]


def _cut_patches(
    ct: Volume, places: Indices, offsets: Indices, axes: tuple[NDArray[np.float64], ...]
) -> Patches:  # fmt: skip
    """Cut voxels at ``places + offsets`` with their coordinates along normal, t and s."""
    index = places[:, None] + offsets
    clipped = np.clip(index, 0, np.array(ct.shape) - 1)
    hu = ct.values[tuple(np.moveaxis(clipped, -1, 0))].astype(np.float64)
    patches = Patches(hu, *(axis @ (offsets * np.array(ct.spacing_mm)).T for axis in axes))
    return _keep(patches, (index == clipped).all(axis=-1))


def _keep(patches: Patches, kept: Mask) -> Patches:
    """Move voxels that do not count out of reach along the normal."""
    return dataclasses.replace(patches, normal_mm=np.where(kept, patches.normal_mm, FAR_MM))
