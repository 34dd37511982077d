"""The check after projection: a nodule has to show in every view of its case before its place is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.check import is_near_border
from drrx.annotate.mask import box_of
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.geometry import View
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.window import find_window
from drrx.radiograph.attenuation import make_bases
from drrx.radiograph.beam import Beam
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

Reason = Literal["outside_view", "invisible_in_view", "overlaps_in_view"]
#: Share of the smaller visual mask that another nodule may cover.
MAX_OVERLAP = 0.2


@dataclass(frozen=True, eq=False)
class Footprint:
    """What a patch shows of itself in a view, in the window its rays reach.

    Attributes
    ----------
    row, column
        Image pixel of the window's ``[0, 0]``.
    path_mm
        float32 ``[row, column]``: path through the nodule.
    contrast
        The same window: what the nodule adds to -ln(I/I0) at least, whatever else the rays meet.
    """

    row: int
    column: int
    path_mm: NDArray[np.float32]
    contrast: NDArray[np.float32]


class ViewCheck:
    """Say why a nodule would not do in one of the views of a case; used as ``check`` of ``sample_nodules``.

    Boxes, masks and limits are those of ``annotate_cxr``, so that what passes here passes the exact check of the
    annotation.

    Parameters
    ----------
    views
        All views of the case, jittered ones as they will be projected.
    settings
        Limits of the boxes, of the border and of the smallest peak (``min_delta_log_peak``, 0 allows any).
    known
        Patches of the CT's own nodules, which no inserted one may cover.
    """

    def __init__(self, views: Sequence[View], settings: AnnotateCxrSettings, known: Sequence[NodulePatch] = ()) -> None:
        self.views, self._settings, self._known = tuple(views), settings, tuple(known)
        self._taken: dict[int, tuple[NodulePatch, list[Footprint | None]]] = {}

    def __call__(self, patch: NodulePatch, others: Sequence[NodulePatch]) -> Reason | None:
        """Return why ``patch`` will not do beside ``others``, or ``None``."""
        neighbours = [self._recall(other) for other in (*self._known, *others)]
        # View by view: most of what fails does so in the first.
        for number, view in enumerate(self.views):
            shown = project_footprint(patch, view)
            if reason := self._judge(shown, view.shape, [prints[number] for prints in neighbours]):
                return reason
        return None

    def _recall(self, patch: NodulePatch) -> list[Footprint | None]:
        """Return the footprints of a patch that stays, made once; holding the patch keeps its id its own."""
        if id(patch) not in self._taken:
            self._taken[id(patch)] = (patch, [project_footprint(patch, view) for view in self.views])
        return self._taken[id(patch)][1]

    def _judge(
        self, shown: Footprint | None, shape: tuple[int, int], others: Sequence[Footprint | None]
    ) -> Reason | None:
        limits = self._settings
        if shown is None or self._is_near_border(shown, shape):
            return "outside_view"
        if float(shown.contrast.max()) < limits.min_delta_log_peak:
            return "invisible_in_view"
        if any(other and share_covered(shown, other, limits.visual_fraction) > MAX_OVERLAP for other in others):
            return "overlaps_in_view"
        return None

    def _is_near_border(self, shown: Footprint, shape: tuple[int, int]) -> bool:
        limits = self._settings
        full = shown.path_mm > max(limits.full_path_mm, limits.full_fraction * float(shown.path_mm.max()))
        if not full.any():
            return True
        x, y, width, height = box_of(full)
        return is_near_border((x + shown.column, y + shown.row, width, height), shape, limits.edge_fraction)


def project_footprint(patch: NodulePatch, view: View) -> Footprint | None:
    """Project a patch alone on the part of the detector it covers; ``None`` where it misses the detector.

    The last line of the beam is its most penetrating one, and every other attenuates more: with its coefficients the
    contrast is a lower bound for any thickness of body around the nodule (for a monoenergetic beam at least as strong).
    """
    window = find_window(patch.grid, view)
    if window is None:
        return None
    line = Beam.from_settings(ComposeDrrSettings()).lines[-1]
    (water, bone), (water_before, bone_before) = make_bases(patch.hu_after), make_bases(patch.hu_before)
    added = (water - water_before) * np.float32(line.mu_water_per_mm)
    added += (bone - bone_before) * np.float32(line.mu_excess_per_mm)
    part = view.window(*window)
    fields = [Integrand(Volume(values, patch.world_from_index)) for values in (patch.occupancy, added)]
    path, contrast = (channels[0] for channels in project([(field, part) for field in fields]))
    return Footprint(window[0].start, window[1].start, path, contrast)


def share_covered(one: Footprint, other: Footprint, visual_fraction: float) -> float:
    """Return the pixels that the visual masks of two nodules share, over those of the smaller mask."""
    masks = [shown.contrast > visual_fraction * float(shown.contrast.max(initial=0.0)) for shown in (one, other)]
    low = np.maximum((one.row, one.column), (other.row, other.column))
    high = np.minimum(*(np.add((s.row, s.column), s.contrast.shape) for s in (one, other)))
    if (high <= low).any():
        return 0.0
    first, second = (
        mask[low[0] - s.row : high[0] - s.row, low[1] - s.column : high[1] - s.column]
        for mask, s in zip(masks, (one, other), strict=True)
    )
    return float((first & second).sum()) / max(1, min(int(mask.sum()) for mask in masks))
