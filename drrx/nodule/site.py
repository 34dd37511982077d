"""One nodule on its way into a CT: shape first, then places until one passes every check."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.nodule.composite import composite
from drrx.nodule.form import CUT_TOLERANCE, VOLUME_TOLERANCE, DrawnForm, Form, fit_volume, volume_factor
from drrx.nodule.measure import measure_nodule
from drrx.nodule.model import Draft, diameter_range_mm, draw_nodule
from drrx.nodule.patch import sample_ct
from drrx.nodule.place import IS_LUNG, IS_VESSEL, Candidates, LungMap, grow, overlaps_another, sample_labels, survey
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, find_grid_spacing_mm
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule import Attachment, Nodule, NodulePatch, Triple
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

log = logging.getLogger(__name__)

MIN_GLASS_HU = 100.0
MIN_DELTA_HU_RATIO = 0.8
MIN_PEAK_LOG_SIGNAL = 0.01
MAX_OUTSIDE, MAX_AIRWAY, MAX_VESSEL, MAX_TISSUE = 0.05, 0.02, 0.15, 0.10
PLEURA_MM = 1.0  # the lung mask is grown by this before parts of a nodule count as outside


Taken = tuple[NDArray[np.float64], float]  # centre LPS mm, diameter mm
Check = Callable[[NodulePatch], str | None]
Found = tuple[Nodule, NodulePatch]


class Rejected(Exception):
    """A place that does not fit; the message is the reason that is counted."""


def refuse_place(found: str, rejections: Counter[str]) -> CaseRefused:
    """Return the error that says how many places were rejected, and why."""
    counts = ", ".join(f"{reason} {count}" for reason, count in rejections.most_common())
    return CaseRefused(
        "NO_PLACE", where="sample_nodules", found=found + (f" ({counts})" if counts else ""),
        needed="a place in aerated lung for every nodule",
        hint="Ask for fewer or smaller nodules, raise max_attempts, or look at the case's anatomy figure.",
    )  # fmt: skip


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
        psf_fwhm_mm: Triple,
    ) -> None:  # fmt: skip
        self.ct, self.labels, self.lungs, self.settings, self.seed = ct, anatomy.labels, lungs, settings, seed
        low, high = diameter_range_mm(settings, ct.spacing_mm[0], lungs.room_mm)
        draft = draw_nodule(make_rng(make_seed(seed, "shape")), settings, low, high)
        self.rng = make_rng(make_seed(seed, "place"))
        self.attachment = self._draw_attachment()
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

    def place(self, name: str, taken: Sequence[Taken], check: Check, rejections: Counter[str]) -> Found:
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
        radius, weights = self.draft.diameter_mm / 2, self.settings.lobe_weights
        found = Candidates(self.lungs, radius, self.attachment, weights)
        if not found.by_lobe and self.attachment != "isolated":
            rejections[f"no_room_{self.attachment}"] += 1
            self.attachment = "isolated"
            found = Candidates(self.lungs, radius, self.attachment, weights)
        if not found.by_lobe:
            rejections["no_room_in_lung"] += 1
            raise refuse_place(f"no room for a nodule of {self.draft.diameter_mm:.1f} mm", rejections)
        return found

    def _check_place(self, center: NDArray[np.float64], taken: Sequence[Taken]) -> float:
        """Reject on what the CT shows around a place; return the local lung in HU."""
        settings, radius = self.settings, self.draft.diameter_mm / 2
        z, ends = center[2], self.ct.to_world(np.array([[0, 0, 0], [self.ct.shape[0] - 1, 0, 0]]))[:, 2]
        if min(z - ends.min(), ends.max() - z) < max(settings.edge_margin_mm, radius + 2):
            raise Rejected("near_first_or_last_slice")
        if overlaps_another(center, self.draft.diameter_mm, taken):
            raise Rejected("near_another_nodule")
        around = survey(self.ct, self.labels, center, radius)
        if around is None:
            raise Rejected("no_lung_around")
        if around.touches_outside:
            raise Rejected("near_edge_of_field_of_view")
        if around.hu_shell_mean > -500:
            raise Rejected("dense_tissue_around")
        if not settings.lung_hu_min <= around.hu_lung_local <= settings.lung_hu_max:
            raise Rejected("local_lung_hu")
        return around.hu_lung_local

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
        total = float(rendered.occupancy.sum())
        if rendered.occupancy[~grow_lung(labels, rendered.spacing_mm)].sum() > MAX_OUTSIDE * total:
            raise Rejected("outside_lung")
        if rendered.occupancy[labels == Label.AIRWAY].sum() > MAX_AIRWAY * total:
            raise Rejected("in_airway")
        vessel = rendered.occupancy[IS_VESSEL[labels]].sum() / total
        if vessel > MAX_VESSEL and self.attachment != "juxtavascular":
            raise Rejected("in_vessel")
        before = sample_ct(self.ct, rendered.occupancy.shape, affine)
        if self.attachment == "isolated" and rendered.occupancy[before > -300].sum() > MAX_TISSUE * total:
            raise Rejected("in_dense_tissue")

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
        tolerance = CUT_TOLERANCE if self.attachment == "juxtapleural" else VOLUME_TOLERANCE
        if abs(measures.volume_mm3 / (pi / 6 * draft.diameter_mm**3) - 1) > tolerance:
            raise Rejected("volume_error")
        if measures.delta_hu_ratio < MIN_DELTA_HU_RATIO:
            raise Rejected("too_little_hu_added")
        if measures.peak_log_signal < MIN_PEAK_LOG_SIGNAL:
            raise Rejected("invisible")
        x, y, z = (float(value) for value in spot.center_mm)
        targets, form = draft.targets, draft.form
        return Nodule(
            nodule_id=name, origin="transplanted" if form.shape is None else "simulated", seed=self.seed,
            preset=self.settings.preset, kind=draft.kind, margin=draft.margin, attachment=self.attachment,
            center_world_mm=(x, y, z), diameter_mm=draft.diameter_mm, shape=form.shape, transplant=form.transplant,
            hu_body=targets.body, hu_inclusion=targets.inclusion, hu_halo=targets.halo, hu_cavity=targets.cavity,
            zone="free", psf_fwhm_mm=self.psf, grid_spacing_mm=rendered.spacing_mm,
            lobe_approx=spot.lobe.name.lower(), num_attempts=spot.attempt, measures=measures,
        )  # fmt: skip


def cut_at_pleura(rendered: RenderedShape, labels: Volume, center_mm: NDArray) -> RenderedShape:
    """Return the part of a shape at ``center_mm`` (LPS) that lies in the lung, grown by 1 mm."""
    near = sample_labels(labels, rendered.occupancy.shape, rendered.place(center_mm))
    lung = grow_lung(near, rendered.spacing_mm).astype(np.float32)
    return rendered.map(lambda values: values * lung)


def grow_lung(labels: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.bool_]:
    """Return the lung in a label map on a cube grid, grown by 1 mm."""
    return grow(IS_LUNG[labels], PLEURA_MM, (spacing_mm,) * 3)
