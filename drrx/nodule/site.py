"""One nodule on its way into a CT: shape first, then places until one passes every check."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.composite import composite
from drrx.nodule.form import CUT_TOLERANCE, VOLUME_TOLERANCE, DrawnForm, Form, fit_volume, volume_factor
from drrx.nodule.labels import sample_labels
from drrx.nodule.lung_map import LungMap
from drrx.nodule.measure import measure_nodule
from drrx.nodule.model import Draft, diameter_range_mm
from drrx.nodule.nodule_library import LibraryNodule
from drrx.nodule.patch import sample_ct
from drrx.nodule.place import Candidates
from drrx.nodule.presets import PRESETS
from drrx.nodule.rules import (
    Rejected,
    check_cover,
    check_distances,
    check_insertion,
    check_measures,
    check_surroundings,
    check_zones,
    grow_lung,
    refuse_place,
)
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, find_grid_spacing_mm
from drrx.nodule.surroundings import Ball
from drrx.nodule.transplant import draw_draft
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule import Attachment, Nodule
from drrx.records.nodule_shape import Triple
from drrx.records.patch import NodulePatch
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

log = logging.getLogger(__name__)

MIN_GLASS_HU = 100.0
Check = Callable[[NodulePatch], str | None]
Found = tuple[Nodule, NodulePatch]


@dataclass(frozen=True, eq=False)
class Spot:
    """A place that a nodule tries: centre (LPS mm), lobe, depth in the lung in mm, HU of the lung around."""

    center_mm: NDArray[np.float64]
    lobe: Label
    depth_mm: float
    hu_lung: float
    attempt: int


class Site:
    """One nodule looking for its place: draft, rendered once; then place, insert and finish until nothing objects."""

    def __init__(
        self, ct: Volume, anatomy: Anatomy, lungs: LungMap, settings: SampleNodulesSettings, seed: int,
        psf_fwhm_mm: Triple, library: Sequence[LibraryNodule] = (),
    ) -> None:  # fmt: skip
        self.ct, self.labels, self.lungs, self.settings, self.seed = ct, anatomy.labels, lungs, settings, seed
        low, high = diameter_range_mm(settings, ct.spacing_mm[0], lungs.room_mm)
        draft = draw_draft(seed, settings, low, high, library)
        self.rng = make_rng(make_seed(seed, "place"))
        self.attachment = self._draw_attachment()
        self.zone_weights = settings.zone_weights or PRESETS[settings.preset].zone_weights
        self.psf = psf_fwhm_mm
        self.grid_spacing_mm = find_grid_spacing_mm(draft.diameter_mm, settings.grid_spacing_mm)
        form, self.rendered = fit_volume(draft.form, draft.diameter_mm, self._render, VOLUME_TOLERANCE)
        self.draft = replace(draft, form=form)

    def _draw_attachment(self) -> Attachment:
        roll, pleural = self.rng.random(), self.settings.juxtapleural_share
        if roll < pleural:
            return "juxtapleural"
        return "juxtavascular" if roll < pleural + self.settings.juxtavascular_share else "isolated"

    def _render(self, form: Form) -> RenderedShape:
        return form.render(self.grid_spacing_mm, self.psf)

    def place(self, name: str, taken: Sequence[Ball], check: Check, rejections: Counter[str]) -> Found:
        """Try places until one passes every check.

        ``taken`` holds centre (LPS mm) and diameter (mm) of what is there already; ``check`` looks at the finished
        patch and says why not.
        """
        candidates = self._candidates(rejections)
        for attempt in range(1, self.settings.max_attempts + 1):
            center, lobe, depth = candidates.draw(self.rng)
            try:
                spot = Spot(center, lobe, depth, self._check_place(center, taken), attempt)
                draft, rendered = self._settle(spot)
                self._check_cover(spot, rendered)
                draft, rendered = self._complete(spot, draft, rendered)
                patch = self._insert(spot, draft, rendered)
                nodule = self._finish(name, spot, draft, rendered, patch)
                if objection := check(patch):
                    raise Rejected(objection)
                return nodule, patch
            except Rejected as reason:
                rejections[str(reason)] += 1
                log.debug("%s: place %d rejected: %s", name, attempt, reason)
        raise refuse_place(f"no place for a nodule of {self.draft.diameter_mm:.1f} mm in {attempt} tries", rejections)

    def _candidates(self, rejections: Counter[str]) -> Candidates:
        """Return the places that are deep enough; without any, an attachment is given up first."""
        found = self._find_candidates()
        if found.is_empty and self.attachment != "isolated":
            rejections[f"no_room_{self.attachment}"] += 1
            self.attachment = "isolated"
            found = self._find_candidates()
        if found.is_empty:
            rejections["no_room_in_zones" if len(found) else "no_room_in_lung"] += 1
            raise refuse_place(f"no room for a nodule of {self.draft.diameter_mm:.1f} mm", rejections)
        return found

    def _find_candidates(self) -> Candidates:
        settings, radius = self.settings, self.draft.diameter_mm / 2
        return Candidates(
            self.lungs, radius, self.attachment, settings.lobe_weights, self.zone_weights, settings.outer_share
        )

    def _check_place(self, center: NDArray[np.float64], taken: Sequence[Ball]) -> float:
        """Reject on what the CT shows around a place; return the local lung in HU."""
        settings, diameter = self.settings, self.draft.diameter_mm
        check_distances(self.ct, center, diameter, taken, settings.edge_margin_mm)
        return check_surroundings(self.ct, self.labels, center, diameter / 2, self.attachment, settings)

    def _settle(self, spot: Spot) -> tuple[Draft, RenderedShape]:
        """Fit the nodule to the place: its HU to the lung around, its body to the pleura."""
        draft, rendered = self.draft, self.rendered
        if draft.kind in ("ground_glass", "part_solid"):  # ground glass is denser than the lung it lies in
            body = max(draft.targets.body, spot.hu_lung + MIN_GLASS_HU)
            draft = replace(draft, targets=replace(draft.targets, body=body))
        if self.attachment == "juxtapleural":
            form, rendered = fit_volume(
                draft.form, draft.diameter_mm, lambda form: self._render_cut(form, spot), CUT_TOLERANCE
            )
            draft = replace(draft, form=form)
        return draft, rendered

    def _render_cut(self, form: Form, spot: Spot) -> RenderedShape:
        """Cut a juxtapleural nodule at the pleura; reject a place that leaves less than half."""
        whole = self.rendered if form is self.draft.form else self._render(form)
        cut = cut_at_pleura(whole, self.labels, spot.center_mm)
        if volume_factor(cut, self.draft.diameter_mm) > 2:
            raise Rejected("cut_by_pleura")
        return cut

    def _check_cover(self, spot: Spot, rendered: RenderedShape) -> None:
        """Reject on what the nodule would cover."""
        affine = rendered.place(spot.center_mm)
        labels = sample_labels(self.labels, rendered.occupancy.shape, affine)
        before = sample_ct(self.ct, rendered.occupancy.shape, affine)
        check_cover(rendered.occupancy, labels, before, rendered.spacing_mm, self.attachment)

    def _complete(self, spot: Spot, draft: Draft, rendered: RenderedShape) -> tuple[Draft, RenderedShape]:
        """Draw the strands to pleura and vessels, and render all that has no part in the volume."""
        num_tags = 0 if self.attachment == "juxtapleural" else draft.num_tags
        if isinstance(draft.form, DrawnForm) and num_tags + draft.num_vessels:
            rng = make_rng(make_seed(self.seed, "strands"))
            form = draft.form.hold_on(rng, self.labels, spot.center_mm, num_tags, draft.num_vessels)
            draft = replace(draft, form=form)
        return draft, draft.form.complete(rendered, self.psf)

    def _insert(self, spot: Spot, draft: Draft, rendered: RenderedShape) -> NodulePatch:
        """Mix the nodule into the CT."""
        affine = rendered.place(spot.center_mm)
        before = sample_ct(self.ct, rendered.occupancy.shape, affine)
        after = composite(before, rendered, draft.kind, draft.targets, spot.hu_lung)
        return NodulePatch(rendered.occupancy, before, after, affine)

    def _finish(self, name: str, spot: Spot, draft: Draft, rendered: RenderedShape, patch: NodulePatch) -> Nodule:
        """Measure the nodule in place; reject it when it is not what was asked for."""
        labels = sample_labels(self.labels, patch.occupancy.shape, patch.world_from_index)
        grown = grow_lung(labels, rendered.spacing_mm)
        measures = measure_nodule(patch, rendered, draft, spot.hu_lung, spot.depth_mm, labels, grown)
        measures = replace(measures, zone_fractions=self.lungs.zones.fractions(patch))
        tolerance = CUT_TOLERANCE if self.attachment == "juxtapleural" else VOLUME_TOLERANCE
        check_measures(measures, draft.diameter_mm, tolerance)
        check_zones(measures.zone_fractions, self.zone_weights)
        check_insertion(self.ct, patch)
        x, y, z = (float(value) for value in spot.center_mm)
        targets, form = draft.targets, draft.form
        return Nodule(
            nodule_id=name, origin="transplanted" if form.shape is None else "simulated", seed=self.seed,
            preset=self.settings.preset, kind=draft.kind, margin=draft.margin, attachment=self.attachment,
            center_world_mm=(x, y, z), diameter_mm=draft.diameter_mm, shape=form.shape, transplant=form.transplant,
            hu_body=targets.body, hu_inclusion=targets.inclusion, hu_halo=targets.halo, hu_cavity=targets.cavity,
            zone=self.lungs.zones.zone_at(spot.center_mm), psf_fwhm_mm=self.psf, grid_spacing_mm=rendered.spacing_mm,
            lobe_approx=spot.lobe.name.lower(), num_attempts=spot.attempt, measures=measures,
        )  # fmt: skip


def cut_at_pleura(rendered: RenderedShape, labels: Volume, center_mm: NDArray) -> RenderedShape:
    """Return the part of a shape at ``center_mm`` (LPS) that lies in the lung, grown by 1 mm."""
    near = sample_labels(labels, rendered.occupancy.shape, rendered.place(center_mm))
    lung = grow_lung(near, rendered.spacing_mm).astype(np.float32)
    return rendered.map(lambda values: values * lung)
