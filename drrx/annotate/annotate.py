"""From path maps and images to annotation records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.check import check_annotation, is_near_border
from drrx.annotate.mask import Mask, box_of, encode_mask
from drrx.annotate.overlap import PathMaps, measure_overlap
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow
from drrx.annotate.signal import Pair, find_neighbourhood, measure_signal
from drrx.errors import CaseRefused, DrrxError
from drrx.geometry import View
from drrx.records.annotation import Annotation, ImageAnnotation, Signal
from drrx.records.nodule import Nodule
from drrx.records.nodule_shape import Triple
from drrx.records.variant import variant_role


@dataclass(frozen=True, eq=False)
class Finding:
    """A nodule in one radiograph and the images that differ by it.

    Attributes
    ----------
    nodule
        Its record.
    shadow
        Its projection.
    drr, cxr
        Displayed images 0..1 without and with it, before and after restoration; ``cxr`` may be missing. An inserted
        nodule is measured on twin and positive, one of the CT's own on ``removed`` and twin.
    """

    nodule: Nodule
    shadow: Shadow
    drr: Pair
    cxr: Pair | None


@dataclass(frozen=True, eq=False)
class _Masks:
    """Full-size masks of one nodule."""

    full: Mask
    visual: Mask
    core: Mask


def annotate_image(
    names: tuple[str, str, str],
    findings: Sequence[Finding],
    view: View,
    overlap_mm: PathMaps,
    settings: AnnotateCxrSettings,
    facts: Mapping[str, Any],
) -> ImageAnnotation:
    """Annotate all nodules of one radiograph.

    Parameters
    ----------
    names
        Case, variant and view.
    findings
        Its nodules; a nodule of the CT's own that the view does not show is left out and named.
    view
        The view of the whole image.
    overlap_mm
        Full-size maps ``[row, column]`` of the path in mm through ``lung``, ``mediastinum`` and ``bone``; those that
        are missing count as zero.
    settings
        Limits of boxes, checks and classes.
    facts
        How the image was made, JSON-ready; goes into the record. ``facts["ct"]`` with ``origin_lps_mm`` (x, y, z) and
        ``spacing_mm`` (z, y, x) of the canonical CT gives the nodules' voxel index.

    Raises
    ------
    CaseRefused
        ``NODULE_CHECK``: an inserted nodule does not show as it should (``check_annotation``).
    DrrxError
        An image has another size than the view, or the variant's name has no role.
    """
    case, variant, view_name = names
    image_id = "_".join(names)
    _check_sizes(view, findings, overlap_mm)
    masks = [_make_masks(finding.shadow, view, settings) for finding in findings]
    shown = [(finding, mask) for finding, mask in zip(findings, masks, strict=True) if mask.visual.any()]
    outside = [finding.nodule for finding, mask in zip(findings, masks, strict=True) if not mask.visual.any()]
    _check_outside(outside, image_id)
    nodules = [_annotate(finding, mask, view, overlap_mm, settings, facts) for finding, mask in shown]
    for nodule in nodules:
        check_annotation(nodule, f"annotate {image_id}", settings)
    return ImageAnnotation(
        image_id=image_id, case=case, variant=variant, view=view_name, role=variant_role(variant),
        pair_id=f"{case}_{view_name}", width=view.shape[1], height=view.shape[0], nodules=tuple(nodules),
        outside_view=tuple(nodule.nodule_id for nodule in outside), leakage=_leakage(shown), facts=dict(facts),
    )  # fmt: skip


def _annotate(
    finding: Finding, masks: _Masks, view: View, overlap_mm: PathMaps, settings: AnnotateCxrSettings,
    facts: Mapping[str, Any],
) -> Annotation:  # fmt: skip
    nodule, shadow = finding.nodule, finding.shadow
    center_world = np.array(nodule.measures.centroid_world_mm)
    center_row, center_column = view.project_points(center_world)
    magnification = view.magnification(center_world)
    area, pitch = int(masks.visual.sum()), sqrt(view.pixel_spacing_mm[0] * view.pixel_spacing_mm[1])
    diameter_px = 2 * sqrt(area / pi)
    signals = _measure_signals(finding, masks, diameter_px, overlap_mm.get("lung"), settings)
    full_box = box_of(masks.full)
    peak, total = float(shadow.delta_line_integral.max()), shadow.delta_log_signal
    on_mask = shadow.place(shadow.delta_line_integral, view.shape)[masks.visual]
    return Annotation(
        nodule=nodule, center_index_zyx=_find_index(nodule, facts),
        center_px=(float(center_column) + 0.5, float(center_row) + 0.5), centroid_px=shadow.centroid_px,
        magnification=magnification, bbox_full=full_box, bbox_visual=box_of(masks.visual),
        bbox_core=box_of(masks.core), mask=encode_mask(masks.visual), area_px=area,
        diameter_detector_mm=diameter_px * pitch, diameter_patient_mm=diameter_px * pitch / magnification,
        peak_path_mm=float(shadow.path_mm.max()), delta_log_peak=peak, delta_log_mean=float(on_mask.mean()),
        contrast_primary=float(-np.expm1(-peak)),
        contrast_total=None if total is None else float(-np.expm1(-float(total.max()))),
        truncated=is_near_border(full_box, view.shape, settings.edge_fraction),
        overlap=measure_overlap(shadow, nodule.measures, overlap_mm, view.shape, settings), before=signals[0],
        after=signals[1] if finding.cxr is not None else None,
        contrast_transfer_ratio=_transfer_ratio(finding, masks.full),
        visibility_class=signals[-1].visibility_class, truth_visible=signals[-1].visibility_class >= 2,
    )  # fmt: skip


def _measure_signals(
    finding: Finding, masks: _Masks, diameter_px: float, lung_mm: NDArray[np.float32] | None,
    settings: AnnotateCxrSettings,
) -> list[Signal]:  # fmt: skip
    """Return the signal in the DRR and, where there is one, in the CXR."""
    around = find_neighbourhood(finding.shadow.centroid_px, diameter_px, lung_mm, masks.full.shape)
    window = (around.rows, around.columns)
    return [
        measure_signal(pair, masks.visual[window], masks.full[window], around, settings)
        for pair in (finding.drr, finding.cxr)
        if pair is not None
    ]


def _make_masks(shadow: Shadow, view: View, settings: AnnotateCxrSettings) -> _Masks:
    path, contrast = shadow.path_mm, shadow.delta_line_integral
    peak = float(contrast.max(initial=0.0))
    limits = (
        path > max(settings.full_path_mm, settings.full_fraction * float(path.max(initial=0.0))),
        contrast > settings.visual_fraction * peak,
        contrast > settings.core_fraction * peak,
    )
    full, visual, core = (shadow.place_mask(mask, view.shape) for mask in limits)
    return _Masks(full | visual, visual, core)


def _find_index(nodule: Nodule, facts: Mapping[str, Any]) -> Triple | None:
    """Return the voxel index (z, y, x) of the centroid; the axes of a canonical CT are those of the world."""
    ct = facts.get("ct", {})
    if not {"origin_lps_mm", "spacing_mm"} <= ct.keys():
        return None
    from_origin = np.subtract(nodule.measures.centroid_world_mm, ct["origin_lps_mm"])[::-1]
    z, y, x = (from_origin / np.array(ct["spacing_mm"])).tolist()
    return z, y, x


def _check_sizes(view: View, findings: Sequence[Finding], overlap_mm: PathMaps) -> None:
    images = [(f"{name} path map", values) for name, values in overlap_mm.items()]
    for finding in findings:
        for stage, pair in (("drr", finding.drr), ("cxr", finding.cxr)):
            if pair is not None:
                images += [(f"{stage} twin", pair.twin), (f"{stage} positive", pair.positive)]
    for name, image in images:
        if image.shape != view.shape:
            raise DrrxError(
                where=f"annotate, {name}", found=f"shape {image.shape}", needed=f"the view's shape {view.shape}",
                hint="Compose and restore the images of this view again with one size.",
            )  # fmt: skip


def _check_outside(outside: Sequence[Nodule], image_id: str) -> None:
    for nodule in outside:
        if nodule.origin != "real":
            raise CaseRefused(
                "NODULE_CHECK", where=f"annotate {image_id} {nodule.nodule_id}",
                found=f"no pixel of the nodule at {[round(v, 1) for v in nodule.center_world_mm]} mm on the image",
                needed="every inserted nodule on the detector",
                hint="Use a larger detector, or sample nodules with another seed.",
            )  # fmt: skip


def _transfer_ratio(finding: Finding, full: Mask) -> float | None:
    drr, cxr = finding.drr, finding.cxr
    if cxr is None:
        return None
    before = (drr.positive[full] - drr.twin[full]).astype(np.float64)
    after = (cxr.positive[full] - cxr.twin[full]).astype(np.float64)
    return float(before @ after) / max(float(before @ before), 1e-12)


def _leakage(shown: Sequence[tuple[Finding, _Masks]]) -> float | None:
    """Return the leakage of inserted nodules; where there are none, that of the CT's own, which have their own pair."""
    inserted = [item for item in shown if item[0].nodule.origin != "real"] or shown
    if not inserted or inserted[0][0].cxr is None:
        return None
    cxr = inserted[0][0].cxr
    union = np.logical_or.reduce([masks.full for _, masks in inserted])
    energy = (cxr.positive.astype(np.float64) - cxr.twin) ** 2
    return float(energy[~union].sum()) / max(float(energy[union].sum()), 1e-12)
