"""Draw the nodules of one variant for a CT, or render recorded ones again."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from drrx.errors import DrrxError
from drrx.nodule.composite import Targets, composite
from drrx.nodule.form import DrawnForm, Form
from drrx.nodule.lung_map import make_lung_map
from drrx.nodule.nodule_library import LibraryNodule
from drrx.nodule.patch import sample_ct
from drrx.nodule.psf import ScanBlur, find_scan_blur
from drrx.nodule.rules import check_straight, refuse_place
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.site import Site, cut_at_pleura
from drrx.nodule.transplant import find_form
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule
from drrx.records.nodule_shape import Triple
from drrx.records.patch import NodulePatch
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

Check = Callable[[NodulePatch, Sequence[NodulePatch]], str | None]


@dataclass(frozen=True, eq=False)
class NoduleSample:
    """The nodules of one variant.

    Attributes
    ----------
    nodules, patches
        One patch per nodule, same order.
    rejections
        Reason -> how many places were rejected for it.
    blur
        The blur that all nodules of the CT share, and how it was found.
    """

    nodules: tuple[Nodule, ...]
    patches: tuple[NodulePatch, ...]
    rejections: dict[str, int]
    blur: ScanBlur


def sample_nodules(
    ct: Volume, anatomy: Anatomy, settings: SampleNodulesSettings, seed: int,
    known: Sequence[tuple[Triple, float]] = (), check: Check = check_straight,
    library: Sequence[LibraryNodule] = (), blur: ScanBlur | None = None,
) -> NoduleSample:  # fmt: skip
    """Draw the nodules of one variant and place them in the lungs of a CT.

    Parameters
    ----------
    ct
        Canonical CT, int16 HU, LPS.
    anatomy
        Its label map, on the same grid.
    settings, seed
        The same pair gives the same nodules; size and shape of the i-th nodule depend on nothing else.
    known
        Centre (LPS mm) and diameter (mm) of the real nodules of the CT, to stay away from.
    check
        Gets a finished patch and those placed before it; returns why the place will not do, or ``None``. Without the
        views of the case a nodule has to show straight through from front to back.
    library
        Real nodules to transplant in ``settings.transplant_share`` of all cases (``make_library``).
    blur
        What ``find_scan_blur`` found in this CT; ``None`` looks for it.

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
    blur = blur or find_scan_blur(ct, anatomy.labels, settings)
    taken = [(np.array(center), diameter) for center, diameter in known]
    nodules: list[Nodule] = []
    patches: list[NodulePatch] = []
    for number in range(1, draw_count(settings, seed) + 1):
        name = f"n{number}"
        site = Site(ct, anatomy, lungs, settings, make_seed(seed, name), blur.fwhm_mm, library)
        nodule, patch = site.place(name, taken, lambda patch: check(patch, patches), rejections)
        taken.append((np.array(nodule.center_world_mm), nodule.diameter_mm))
        nodules.append(nodule)
        patches.append(patch)
    return NoduleSample(tuple(nodules), tuple(patches), dict(sorted(rejections.items())), blur)


def draw_count(settings: SampleNodulesSettings, seed: int) -> int:
    """Return how many nodules a variant gets: as set, or evenly drawn up to ``num_nodules_max``."""
    low, high = settings.num_nodules, settings.num_nodules_max or settings.num_nodules
    if high < low:
        raise DrrxError(
            where="sample_nodules num_nodules_max", found=f"{high} with num_nodules {low}",
            needed=f"{low} to 3, or none",
            hint="Make num_nodules smaller, or leave num_nodules_max out.",
        )  # fmt: skip
    return int(make_rng(make_seed(seed, "count")).integers(low, high + 1))


def render_nodule(
    nodule: Nodule, ct: Volume, anatomy: Anatomy, library: Sequence[LibraryNodule] = ()
) -> NodulePatch:  # fmt: skip
    """Render a recorded nodule again, from its numbers alone; gives the patch that ``sample_nodules`` gave.

    A transplanted nodule is taken from ``library`` once more; a library without it, or with other files of its name, is
    a ``DrrxError``.
    """
    center = np.array(nodule.center_world_mm)
    form = _find_form(nodule, library)
    rendered = form.render(nodule.grid_spacing_mm, nodule.psf_fwhm_mm)
    if nodule.attachment == "juxtapleural":
        rendered = cut_at_pleura(rendered, anatomy.labels, center)
    rendered = form.complete(rendered, nodule.psf_fwhm_mm)
    affine = rendered.place(center)
    before = sample_ct(ct, rendered.occupancy.shape, affine)
    after = composite(before, rendered, nodule.kind, Targets.of(nodule), nodule.measures.hu_lung_local)
    return NodulePatch(rendered.occupancy, before, after, affine)


def _find_form(nodule: Nodule, library: Sequence[LibraryNodule]) -> Form:
    if nodule.shape is not None:
        return DrawnForm(nodule.shape)
    if nodule.transplant is not None:
        return find_form(nodule.transplant, library, f"nodule {nodule.nodule_id}")
    raise DrrxError(
        where=f"nodule {nodule.nodule_id}", found=f"a {nodule.origin} nodule", needed="one that was inserted",
        hint="A real nodule is in the CT already: there is nothing to render.",
    )  # fmt: skip
