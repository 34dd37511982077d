"""Mix a rendered nodule into the CT under it."""

from dataclasses import dataclass

import numpy as np

from drrx.nodule.patch import Grid
from drrx.nodule.shape import RenderedShape
from drrx.records.nodule import Kind, Nodule

GLASS_CEILING_HU = 60.0  # ground glass brightens nothing beyond its target + this, so vessels shine through
STRAND_HU = 20.0  # fibrous tissue and vessels; thin strands read less, as the blur mixes lung into them


@dataclass(frozen=True)
class Targets:
    """HU that each part has where it fills a voxel; ``None`` where there is no such part."""

    body: float
    inclusion: float | None = None
    halo: float | None = None
    cavity: float | None = None
    strands: float = STRAND_HU

    @classmethod
    def of(cls, nodule: Nodule) -> "Targets":
        """Return the targets in a record."""
        return cls(nodule.hu_body, nodule.hu_inclusion, nodule.hu_halo, nodule.hu_cavity)


def composite(before: Grid, rendered: RenderedShape, kind: Kind, targets: Targets, hu_lung: float) -> Grid:
    """Mix the nodule into the CT; exact partial-volume mixes in linear attenuation, since HU is linear in it.

    Dense parts: ``HU + w max(0, T - HU)``. Ground glass: ``HU + w (T - HU_lung)``, not beyond ``T + 60`` HU, and never
    below what was there. Order: halo, strands, body, inclusion; then the cavity, ``HU + w min(0, T - HU)``, the only
    part that darkens. ``T`` of body and inclusion varies by ``rendered.deviation_hu``.

    Parameters
    ----------
    before
        float32 ``[z, y, x]`` HU on the grid of ``rendered``.
    kind
        Bodies of ``ground_glass`` and ``part_solid`` nodules are mixed as ground glass, others as dense.
    hu_lung
        HU of the lung around.

    Returns
    -------
    NDArray
        float32 ``[z, y, x]`` HU with the nodule.
    """
    result = before.copy()
    uneven: Grid | np.float32 = np.float32(0) if rendered.deviation_hu is None else rendered.deviation_hu
    if rendered.halo is not None and targets.halo is not None:
        result = _add_glass(result, rendered.halo, np.float32(targets.halo), hu_lung)
    if rendered.strands is not None:
        result = _add_dense(result, rendered.strands, np.float32(targets.strands))
    body = np.float32(targets.body) + uneven
    if kind in ("ground_glass", "part_solid"):
        result = _add_glass(result, rendered.occupancy, body, hu_lung)
    else:
        result = _add_dense(result, rendered.occupancy, body)
    if rendered.inclusion is not None and targets.inclusion is not None:
        result = _add_dense(result, rendered.inclusion, np.float32(targets.inclusion) + uneven)
    if rendered.cavity is not None and targets.cavity is not None:
        result = result + rendered.cavity * np.minimum(0, np.float32(targets.cavity) - result)
    return result.astype(np.float32)


def _add_dense(hu: Grid, share: Grid, target: Grid | np.float32) -> Grid:
    return hu + share * np.maximum(0, target - hu)


def _add_glass(hu: Grid, share: Grid, target: Grid | np.float32, hu_lung: float) -> Grid:
    brightened = hu + share * np.maximum(0, target - np.float32(hu_lung))
    return np.maximum(hu, np.minimum(brightened, target + np.float32(GLASS_CEILING_HU)))
