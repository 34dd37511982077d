"""Draw the nodules of one variant for a CT, or render recorded ones again."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from drrx.errors import DrrxError
from drrx.nodule.patch import blur_shape, composite, crop_shape, grid_affine, sample_ct
from drrx.nodule.place import make_lung_map
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import render_shape
from drrx.nodule.site import Site, cut_at_pleura, refuse_place
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule, NodulePatch
from drrx.seeds import make_seed
from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class NoduleSample:
    """The nodules of one variant.

    Attributes
    ----------
    nodules, patches
        One patch per nodule, same order.
    rejections
        Reason -> how many places were rejected for it.
    """

    nodules: tuple[Nodule, ...]
    patches: tuple[NodulePatch, ...]
    rejections: dict[str, int]


def sample_nodules(ct: Volume, anatomy: Anatomy, settings: SampleNodulesSettings, seed: int) -> NoduleSample:
    """Draw ``settings.num_nodules`` nodules and place them in the lungs of a CT.

    Parameters
    ----------
    ct
        Canonical CT, int16 HU, LPS.
    anatomy
        Its label map, on the same grid.
    settings, seed
        The same pair gives the same nodules; size and shape of the i-th nodule depend on nothing else.

    Raises
    ------
    CaseRefused
        ``NO_PLACE``: no place after ``max_attempts`` tries; the counts per reason are in the message.
    DrrxError
        The label map is on another grid than the CT.
    """
    if anatomy.labels.shape != ct.shape or not np.allclose(
        anatomy.labels.world_from_index, ct.world_from_index, atol=1e-3
    ):
        raise DrrxError(
            where="sample_nodules", found=f"label map {anatomy.labels.shape} for a CT {ct.shape}",
            needed="a label map on the grid of the CT", hint="Segment this CT again with drrx segment-anatomy.",
        )  # fmt: skip
    lungs = make_lung_map(anatomy)
    rejections: Counter[str] = Counter()
    if lungs is None:
        raise refuse_place("a label map without lung", rejections)
    nodules: list[Nodule] = []
    patches: list[NodulePatch] = []
    for number in range(1, settings.num_nodules + 1):
        name = f"n{number}"
        site = Site(ct, anatomy, lungs, settings, make_seed(seed, name))
        nodule, patch = site.place(name, nodules, rejections)
        nodules.append(nodule)
        patches.append(patch)
    return NoduleSample(tuple(nodules), tuple(patches), dict(sorted(rejections.items())))


def render_nodule(nodule: Nodule, ct: Volume, anatomy: Anatomy) -> NodulePatch:
    """Render a recorded nodule again, from its numbers alone; gives the patch that ``sample_nodules`` gave."""
    if nodule.shape is None:
        raise DrrxError(
            where=f"nodule {nodule.nodule_id}", found=f"a {nodule.origin} nodule", needed="a simulated nodule",
            hint="Only simulated nodules can be rendered from their numbers.",
        )  # fmt: skip
    rendered, index = crop_shape(blur_shape(render_shape(nodule.shape, nodule.grid_spacing_mm), nodule.psf_fwhm_mm))
    affine = grid_affine(np.array(nodule.center_world_mm), index, nodule.grid_spacing_mm)
    if nodule.attachment == "juxtapleural":
        rendered = cut_at_pleura(rendered, anatomy.labels, affine)
    before = sample_ct(ct, rendered.occupancy.shape, affine)
    hu = (nodule.hu_body, nodule.hu_inclusion, nodule.hu_halo)
    after = composite(before, rendered, nodule.kind, hu, nodule.measures.hu_lung_local)
    return NodulePatch(rendered.occupancy, before, after, affine)
