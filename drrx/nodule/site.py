"""One nodule on its way into a CT: shape first, then places until one passes every check."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import pi

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.nodule.measure import measure_nodule
from drrx.nodule.model import Draft, diameter_range_mm, draw_nodule
from drrx.nodule.patch import blur_shape, composite, crop_shape, grid_affine, sample_ct
from drrx.nodule.place import IS_LUNG, IS_VESSEL, Candidates, LungMap, grow, overlaps_another, sample_labels, survey
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, find_grid_spacing_mm, render_shape
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule import Attachment, Nodule, NodulePatch, NoduleShape, Triple
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

log = logging.getLogger(__name__)

VOLUME_TOLERANCE = 0.02
MIN_DELTA_HU_RATIO = 0.8
MIN_PEAK_LOG_SIGNAL = 0.01
MAX_OUTSIDE, MAX_AIRWAY, MAX_VESSEL, MAX_TISSUE = 0.05, 0.02, 0.15, 0.10
PLEURA_MM = 1.0  # the lung mask is grown by this before parts of a nodule count as outside


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


def scan_psf_mm(settings: SampleNodulesSettings, slice_spacing_mm: float) -> Triple:
    """Return the blur's FWHM along (z, y, x) in mm; zeros for none."""
    if settings.blur == "none":
        return (0.0, 0.0, 0.0)
    return (min(slice_spacing_mm, settings.psf_axial_max_mm), settings.psf_fwhm_mm, settings.psf_fwhm_mm)


class Site:
    """One nodule looking for its place."""

    def __init__(
        self, ct: Volume, anatomy: Anatomy, lungs: LungMap, settings: SampleNodulesSettings, seed: int
    ) -> None:
        self.ct, self.labels, self.lungs, self.settings, self.seed = ct, anatomy.labels, lungs, settings, seed
        low, high = diameter_range_mm(settings, ct.spacing_mm[0], lungs.room_mm)
        self.draft = draw_nodule(make_rng(make_seed(seed, "shape")), settings, low, high)
        self.rng = make_rng(make_seed(seed, "place"))
        self.attachment = self._draw_attachment()
        self.psf = scan_psf_mm(settings, ct.spacing_mm[0])
        self.grid_spacing_mm = find_grid_spacing_mm(self.draft.diameter_mm, settings.grid_spacing_mm)
        self.draft, self.rendered, self.center_index = self._render(self.draft)

    def _draw_attachment(self) -> Attachment:
        roll, pleural = self.rng.random(), self.settings.juxtapleural_share
        if roll < pleural:
            return "juxtapleural"
        return "juxtavascular" if roll < pleural + self.settings.juxtavascular_share else "isolated"

    def _render(self, draft: Draft) -> tuple[Draft, RenderedShape, NDArray[np.int64]]:
        """Render, and correct the radius until the volume fits (strands overlap, so the closed form is not exact)."""
        for _ in range(5):
            rendered, center = self._render_once(draft.shape)
            factor = _volume_factor(rendered, draft.diameter_mm)
            if abs(factor - 1) < VOLUME_TOLERANCE / 8:
                break
            draft = _scale(draft, factor)
        return draft, rendered, center

    def _render_once(self, shape: NoduleShape) -> tuple[RenderedShape, NDArray[np.int64]]:
        return crop_shape(blur_shape(render_shape(shape, self.grid_spacing_mm), self.psf))

    def place(self, name: str, others: Sequence[Nodule], rejections: Counter[str]) -> tuple[Nodule, NodulePatch]:
        """Try places until one passes every check."""
        taken = [(np.array(other.center_world_mm), other.diameter_mm) for other in others]
        candidates = self._candidates(rejections)
        for attempt in range(1, self.settings.max_attempts + 1):
            center, lobe, depth = candidates.draw(self.rng)
            try:
                hu_lung = self._check_place(center, taken)
                patch, draft, rendered = self._insert(center, hu_lung)
                return self._finish(name, patch, draft, rendered, center, lobe, depth, hu_lung, attempt)
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

    def _check_place(self, center: NDArray[np.float64], taken: Sequence[tuple[NDArray, float]]) -> float:
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

    def _insert(self, center: NDArray[np.float64], hu_lung: float) -> tuple[NodulePatch, Draft, RenderedShape]:
        """Reject on what the nodule would cover; else mix it into the CT."""
        draft, rendered, index = self.draft, self.rendered, self.center_index
        if self.attachment == "juxtapleural":
            draft, rendered, index = self._cut(center)
        affine = grid_affine(center, index, rendered.spacing_mm)
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
        hu = (draft.hu_body, draft.hu_inclusion, draft.hu_halo)
        if draft.kind in ("ground_glass", "part_solid"):  # ground glass is denser than the lung it lies in
            hu = (max(draft.hu_body, hu_lung + 100), *hu[1:])
        after = composite(before, rendered, draft.kind, hu, hu_lung)
        return NodulePatch(rendered.occupancy, before, after, affine), replace(draft, hu_body=hu[0]), rendered

    def _cut(self, center: NDArray[np.float64]) -> tuple[Draft, RenderedShape, NDArray[np.int64]]:
        """Cut a juxtapleural nodule at the pleura, and let it grow until what is left has the volume asked for."""
        draft, rendered, index = self.draft, self.rendered, self.center_index
        for _ in range(4):
            cut = cut_at_pleura(rendered, self.labels, grid_affine(center, index, rendered.spacing_mm))
            factor = _volume_factor(cut, draft.diameter_mm)
            if factor > 2:
                raise Rejected("cut_by_pleura")
            if abs(factor - 1) < VOLUME_TOLERANCE / 2:
                break
            draft = _scale(draft, factor)
            rendered, index = self._render_once(draft.shape)
        return draft, cut, index

    def _finish(
        self, name: str, patch: NodulePatch, draft: Draft, rendered: RenderedShape, center: NDArray[np.float64],
        lobe: Label, depth_mm: float, hu_lung: float, attempt: int,
    ) -> tuple[Nodule, NodulePatch]:  # fmt: skip
        """Measure the nodule in place; reject it when it is not what was asked for."""
        labels = sample_labels(self.labels, patch.occupancy.shape, patch.world_from_index)
        grown = grow_lung(labels, rendered.spacing_mm)
        measures = measure_nodule(patch, rendered, draft, hu_lung, depth_mm, labels, grown)
        if abs(measures.volume_mm3 / (pi / 6 * draft.diameter_mm**3) - 1) > VOLUME_TOLERANCE:
            raise Rejected("volume_error")
        if measures.delta_hu_ratio < MIN_DELTA_HU_RATIO:
            raise Rejected("too_little_hu_added")
        if measures.peak_log_signal < MIN_PEAK_LOG_SIGNAL:
            raise Rejected("invisible")
        x, y, z = (float(value) for value in center)
        nodule = Nodule(
            nodule_id=name, origin="simulated", seed=self.seed, preset=self.settings.preset, kind=draft.kind, margin=draft.margin,
            attachment=self.attachment, center_world_mm=(x, y, z), diameter_mm=draft.diameter_mm, shape=draft.shape,
            transplant=None, hu_body=draft.hu_body, hu_inclusion=draft.hu_inclusion, hu_halo=draft.hu_halo,
            hu_cavity=None, zone="free", psf_fwhm_mm=self.psf,
            grid_spacing_mm=rendered.spacing_mm, lobe_approx=lobe.name.lower(), num_attempts=attempt, measures=measures,
        )  # fmt: skip
        return nodule, patch


def cut_at_pleura(rendered: RenderedShape, labels: Volume, world_from_index: NDArray) -> RenderedShape:
    """Return the part of a shape that lies in the lung, grown by 1 mm."""
    near = sample_labels(labels, rendered.occupancy.shape, world_from_index)
    lung = grow_lung(near, rendered.spacing_mm).astype(np.float32)
    return rendered.with_parts({part: values * lung for part, values in rendered.parts()})


def grow_lung(labels: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.bool_]:
    """Return the lung in a label map on a cube grid, grown by 1 mm."""
    return grow(IS_LUNG[labels], PLEURA_MM, (spacing_mm,) * 3)


def _scale(draft: Draft, factor: float) -> Draft:
    """Return the draft with ``factor`` times its volume."""
    return replace(draft, shape=replace(draft.shape, radius_mm=draft.shape.radius_mm * factor ** (1 / 3)))


def _volume_factor(rendered: RenderedShape, diameter_mm: float) -> float:
    volume = float(rendered.occupancy.sum(dtype=np.float64)) * rendered.spacing_mm**3
    return pi / 6 * diameter_mm**3 / max(volume, 1e-9)
