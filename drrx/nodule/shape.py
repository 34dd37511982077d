"""A nodule on its fine grid: the shares of its parts in every voxel."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from drrx.nodule.patch import Grid, grid_affine
from drrx.nodule.strands import draw_strand
from drrx.nodule.surface import Body, FloatArray, share_inside
from drrx.records.nodule_shape import Inclusion, NoduleShape, Triple

VOXELS_PER_DIAMETER = 18  # fewer blunt the peak of a ball's shadow by more than 0.5 %
FWHM_PER_SIGMA = 2.354820
SMALLEST_SHARE = 1e-3  # tails of the blur below this are cut


def find_grid_spacing_mm(diameter_mm: float, widest_mm: float) -> float:
    """Return the voxel edge for a nodule: ``widest_mm``, or finer for one so small that voxels would blunt it."""
    return min(widest_mm, diameter_mm / VOXELS_PER_DIAMETER)


@dataclass(frozen=True, eq=False)
class RenderedShape:
    """A nodule on a grid of cube voxels, without a place.

    Attributes
    ----------
    occupancy
        float32 ``[z, y, x]`` in 0..1: share of each voxel that is body or spicule.
    inclusion, halo, cavity, strands
        The same for the other parts; ``None`` where there is no such part.
    deviation_hu
        float32 ``[z, y, x]``: HU by which the target of body and inclusion differs from place to place; none is even.
    spacing_mm
        Voxel edge.
    center_index
        int64 ``(z, y, x)``: the voxel at the nodule's centre (may lie outside a cropped grid).
    """

    occupancy: Grid
    spacing_mm: float
    center_index: NDArray[np.int64]
    inclusion: Grid | None = None
    halo: Grid | None = None
    cavity: Grid | None = None
    strands: Grid | None = None
    deviation_hu: Grid | None = None

    def parts(self) -> Iterator[tuple[str, Grid]]:
        """Yield the shares that exist, by name."""
        for name in ("occupancy", "inclusion", "halo", "cavity", "strands"):
            values = getattr(self, name)
            if values is not None:
                yield name, values

    def map(self, change: Callable[[Grid], Grid]) -> "RenderedShape":
        """Return the shape with every share changed; the grid stays."""
        changed: dict[str, Any] = {name: change(values) for name, values in self.parts()}
        return replace(self, **changed)

    @property
    def volume_mm3(self) -> float:
        """Sum of the occupancy, mm3."""
        return float(self.occupancy.sum(dtype=np.float64)) * self.spacing_mm**3

    def place(self, center_world_mm: NDArray) -> NDArray[np.float64]:
        """Return ``world_from_index`` (4, 4; LPS mm) of the grid with the nodule's centre at ``center_world_mm``."""
        return grid_affine(center_world_mm, self.center_index, self.spacing_mm)

    def blur(self, psf_fwhm_mm: Triple) -> "RenderedShape":
        """Convolve every share with the Gaussian of the scanner, FWHM along (z, y, x) in mm; the sums stay."""
        if not any(psf_fwhm_mm):
            return self
        sigmas = [width / FWHM_PER_SIGMA / self.spacing_mm for width in psf_fwhm_mm]
        pad = [int(np.ceil(3 * sigma)) + 1 for sigma in sigmas]

        def spread(values: Grid) -> Grid:
            padded = np.pad(values, [(n, n) for n in pad])
            return np.clip(gaussian_filter(padded, sigmas, mode="constant", truncate=3.0), 0, 1)

        return replace(self.map(spread), center_index=self.center_index + np.array(pad))

    def crop(self) -> "RenderedShape":
        """Cut the grid to where any share is above 0.001."""
        shape = self.map(lambda values: np.where(values < SMALLEST_SHARE, np.float32(0), values))
        union = np.maximum.reduce([values for _, values in shape.parts()])
        used = [np.flatnonzero(union.any(axis=tuple(i for i in range(3) if i != axis))) for axis in range(3)]
        window = tuple(slice(u[0], u[-1] + 1) for u in used)
        low = np.array([u[0] for u in used])
        return replace(shape.map(lambda values: values[window]), center_index=self.center_index - low)


def render_shape(shape: NoduleShape, spacing_mm: float, margin_mm: float = 1.0) -> RenderedShape:
    """Render body, spicules, inclusions, cavity and halo on cubes of ``spacing_mm``; ``margin_mm`` stays empty around.

    Tags and vessels are drawn by ``add_strands``, when the place is known.
    """
    body = Body(shape)
    extent = body.largest_mm + float(np.linalg.norm(body.centroid)) + shape.halo_width_mm + spacing_mm
    half = int(np.ceil(extent / spacing_mm))
    axis = np.arange(-half, half + 1, dtype=np.float64) * spacing_mm
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))[::-1]  # x, y, z
    radius, rho = body.surface_mm(points)
    occupancy = _profile(radius, rho, shape.margin_exponent, spacing_mm).astype(np.float32)
    halo = None
    if shape.halo_width_mm > 0:
        outside = np.clip(1 - (radius - rho) / shape.halo_width_mm, 0, 1)
        halo = ((1 - occupancy) * outside).astype(np.float32)
    inclusion = _render_inclusions(body, axis, radius / rho, occupancy)
    cavity = None if shape.cavity is None else _render_part(body, axis, shape.cavity, 0.0)
    # Strands reach far into empty space: only they are drawn on the larger grid.
    strands = max((s.length_mm for s in shape.spicules), default=0.0)
    extra = int(np.ceil((strands + margin_mm) / spacing_mm))
    rendered = RenderedShape(occupancy, spacing_mm, np.full(3, half + extra), inclusion, halo, cavity)
    rendered = rendered.map(lambda values: np.pad(values, extra))
    axis = np.arange(-half - extra, half + extra + 1, dtype=np.float64) * spacing_mm
    for spicule in shape.spicules:
        draw_strand(rendered.occupancy, (axis, axis, axis), body, spicule)
    return rendered


def _profile(radius: FloatArray, rho: FloatArray, exponent: float, edge_mm: float) -> FloatArray:
    # A voxel that the surface cuts is judged at the middle of its inner part, not at its centre beyond the surface.
    inner = np.minimum(radius, (np.maximum(radius - edge_mm / 2, 0) + rho) / 2)
    relative = np.minimum(inner / rho, 1.0)
    return (1 - relative**2) ** exponent * share_inside(rho - radius, edge_mm)


def _render_inclusions(body: Body, axis_mm: FloatArray, relative: FloatArray, occupancy: Grid) -> Grid | None:
    shape = body.shape
    if shape.num_laminae:
        shells = 0.5 - 0.5 * np.cos(2 * pi * shape.num_laminae * np.minimum(relative, 1))
        return np.asarray(occupancy * shells, dtype=np.float32)
    if not shape.inclusions:
        return None
    result = np.zeros_like(occupancy)
    for part in shape.inclusions:
        np.maximum(result, _render_part(body, axis_mm, part, shape.margin_exponent), out=result)
    return np.minimum(result, occupancy)


def _render_part(body: Body, axis_mm: FloatArray, part: Inclusion, exponent: float) -> Grid:
    """Return the share of a smaller copy of the body on the cube over ``axis_mm``."""
    edge = float(axis_mm[1] - axis_mm[0])
    middle = np.array(part.offset) * body.shape.radius_mm
    reach = part.ratio * (body.largest_mm + float(np.linalg.norm(body.centroid))) + edge
    window = [slice(*np.searchsorted(axis_mm, (m - reach, m + reach))) for m in middle[::-1]]
    z, y, x = np.meshgrid(*(axis_mm[w] for w in window), indexing="ij")
    radius, rho = body.surface_mm((np.stack([x, y, z]) - middle.reshape(3, 1, 1, 1)) / part.ratio)
    share = np.zeros((len(axis_mm),) * 3, dtype=np.float32)
    share[tuple(window)] = _profile(radius * part.ratio, rho * part.ratio, exponent, edge)
    return share


def add_strands(rendered: RenderedShape, shape: NoduleShape, psf_fwhm_mm: Triple) -> RenderedShape:
    """Return the shape on a grid that holds its tags and vessels too, as blurred as the rest."""
    strands = shape.tags + shape.vessels
    if not strands:
        return rendered
    body, h = Body(shape), rendered.spacing_mm
    spread = np.array(psf_fwhm_mm) * (3 / FWHM_PER_SIGMA) + 2 * max(s.base_mm for s in strands) + h
    directions = np.array([s.direction for s in strands])
    ends = (directions * (body.reach_mm(directions) + [s.length_mm for s in strands])[:, None])[:, ::-1]  # z, y, x
    low = np.minimum(0, np.floor(rendered.center_index + (ends.min(0) - spread) / h)).astype(int)
    top = np.ceil(rendered.center_index + (ends.max(0) + spread) / h).astype(int) + 1
    pad = np.stack([-low, np.maximum(0, top - rendered.occupancy.shape)], axis=1)
    center = rendered.center_index - low
    values = np.zeros(np.array(rendered.occupancy.shape) + pad.sum(1), dtype=np.float32)
    axes = tuple((np.arange(n) - c) * h for n, c in zip(values.shape, center, strict=True))
    for strand in strands:
        draw_strand(values, axes, body, strand)
    sigmas = [width / FWHM_PER_SIGMA / h for width in psf_fwhm_mm]
    values = np.clip(gaussian_filter(values, sigmas, mode="constant", truncate=3.0), 0, 1) if any(sigmas) else values
    deviation = None if rendered.deviation_hu is None else np.pad(rendered.deviation_hu, pad)
    padded = rendered.map(lambda share: np.pad(share, pad))
    return replace(padded, center_index=center, strands=values, deviation_hu=deviation)
