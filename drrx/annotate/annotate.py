"""From path maps and images to annotation records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.mask import Mask, box_of, encode_mask, place_window
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.signal import Pair, find_neighbourhood, measure_signal
from drrx.errors import CaseRefused, DrrxError
from drrx.geometry import View
from drrx.records.annotation import Annotation, ImageAnnotation, Overlap, Point
from drrx.records.nodule import Nodule


@dataclass(frozen=True, eq=False)
class Shadow:
    """What one nodule adds to the projection, in a window of the detector.

    Attributes
    ----------
    path_mm
        float32 ``[row, column]``: path through the nodule (line integral of its occupancy), mm.
    delta_line_integral
        The same window: what the nodule adds to -ln(I/I0), no unit.
    row, column
        Image pixel of the window's ``[0, 0]``.
    """

    path_mm: NDArray[np.float32]
    delta_line_integral: NDArray[np.float32]
    row: int = 0
    column: int = 0

    def __post_init__(self) -> None:
        if self.path_mm.ndim != 2 or self.path_mm.shape != self.delta_line_integral.shape:
            raise DrrxError(
                where="Shadow", found=f"shapes {self.path_mm.shape} and {self.delta_line_integral.shape}",
                needed="two maps of one window [row, column]", hint="Project the nodule's patch again.",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Masks:
    """Full-size masks of one nodule."""

    full: Mask
    visual: Mask
    core: Mask


def annotate_nodule(
    nodule: Nodule,
    shadow: Shadow,
    view: View,
    drr: Pair,
    cxr: Pair | None,
    overlap_mm: Mapping[str, NDArray[np.float32]],
    settings: AnnotateCxrSettings,
) -> Annotation:
    """Annotate one nodule in one radiograph.

    Parameters
    ----------
    nodule
        Its record.
    shadow
        Its projection.
    view
        The view of the whole image.
    drr, cxr
        Displayed images 0..1 without and with the nodules, before and after restoration; ``cxr`` may be missing.
    overlap_mm
        Full-size maps ``[row, column]`` of the path in mm through ``lung``, ``mediastinum`` and ``bone``; those that
        are missing count as zero.
    settings
        Limits of boxes and classes.

    Raises
    ------
    CaseRefused
        ``NODULE_OUTSIDE_VIEW``: no part of the nodule falls on the image.
    DrrxError
        An image has another size than the view.
    """
    _check_sizes(view, drr, cxr, overlap_mm)
    masks = _make_masks(nodule, shadow, view, settings)
    center_world = np.array(nodule.measures.centroid_world_mm)
    center_row, center_column = view.project_points(center_world)
    magnification = view.magnification(center_world)
    area, pitch = int(masks.visual.sum()), sqrt(view.pixel_spacing_mm[0] * view.pixel_spacing_mm[1])
    diameter_px = 2 * sqrt(area / pi)
    centroid = _centroid_px(shadow)
    around = find_neighbourhood(centroid, diameter_px, overlap_mm.get("lung"), view.shape)
    window = (around.rows, around.columns)
    signals = [
        measure_signal(pair, masks.visual[window], masks.full[window], around, settings)
        for pair in (drr, cxr) if pair is not None
    ]  # fmt: skip
    last = signals[-1]
    on_mask = place_values(shadow.delta_line_integral, shadow, view.shape)[masks.visual]
    return Annotation(
        nodule_id=nodule.nodule_id, kind=nodule.kind, margin=nodule.margin, attachment=nodule.attachment,
        lobe_approx=nodule.lobe_approx, diameter_mm=nodule.diameter_mm, volume_mm3=nodule.measures.volume_mm3,
        center_world_mm=nodule.measures.centroid_world_mm,
        center_px=(float(center_column) + 0.5, float(center_row) + 0.5), centroid_px=centroid,
        magnification=magnification, bbox_full=box_of(masks.full), bbox_visual=box_of(masks.visual),
        bbox_core=box_of(masks.core), mask=encode_mask(masks.visual), area_px=area,
        diameter_detector_mm=diameter_px * pitch, diameter_patient_mm=diameter_px * pitch / magnification,
        peak_path_mm=float(shadow.path_mm.max()), delta_log_peak=float(shadow.delta_line_integral.max()),
        delta_log_mean=float(on_mask.mean()), truncated=_is_truncated(masks.full, settings.edge_fraction),
        overlap=_measure_overlap(shadow, overlap_mm, view.shape, settings), before=signals[0],
        after=signals[1] if cxr is not None else None,
        contrast_transfer_ratio=None if cxr is None else _transfer_ratio(drr, cxr, masks.full),
        truth_visible=last.visibility_class >= 2,
    )  # fmt: skip


def annotate_image(
    names: tuple[str, str, str],
    nodules: Sequence[Nodule],
    shadows: Sequence[Shadow],
    view: View,
    drr: Pair,
    cxr: Pair | None,
    overlap_mm: Mapping[str, NDArray[np.float32]],
    settings: AnnotateCxrSettings,
) -> ImageAnnotation:
    """Annotate all nodules of one radiograph; ``names`` are case, variant and view, the rest as ``annotate_nodule``."""
    if len(nodules) != len(shadows):
        raise DrrxError(
            where=f"annotate {'_'.join(names)}", found=f"{len(nodules)} nodules and {len(shadows)} path maps",
            needed="one path map per nodule", hint="Compose the DRR of this variant again.",
        )  # fmt: skip
    annotations = tuple(
        annotate_nodule(nodule, shadow, view, drr, cxr, overlap_mm, settings)
        for nodule, shadow in zip(nodules, shadows, strict=True)
    )
    union = np.zeros(view.shape, dtype=bool)
    for nodule, shadow in zip(nodules, shadows, strict=True):
        union |= _make_masks(nodule, shadow, view, settings).full
    case, variant, view_name = names
    return ImageAnnotation(
        image_id="_".join(names), case=case, variant=variant, view=view_name, width=view.shape[1], height=view.shape[0],
        nodules=annotations, leakage=_leakage(cxr, union) if cxr is not None and nodules else None,
    )  # fmt: skip


def place_values(values: NDArray[np.float32], shadow: Shadow, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a full-size map with a shadow's ``values`` in its window and 0 elsewhere."""
    full = np.zeros(shape, dtype=np.float32)
    inside = place_window(np.ones(values.shape, dtype=bool), shadow.row, shadow.column, shape)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows):
        full[np.ix_(rows, columns)] = values[np.ix_(rows - shadow.row, columns - shadow.column)]
    return full


def _check_sizes(view: View, drr: Pair, cxr: Pair | None, overlap_mm: Mapping[str, NDArray[np.float32]]) -> None:
    images = {"drr twin": drr.twin, "drr positive": drr.positive, **{f"{k} path map": v for k, v in overlap_mm.items()}}
    if cxr is not None:
        images |= {"cxr twin": cxr.twin, "cxr positive": cxr.positive}
    for name, image in images.items():
        if image.shape != view.shape:
            raise DrrxError(
                where=f"annotate, {name}", found=f"shape {image.shape}", needed=f"the view's shape {view.shape}",
                hint="Compose and restore the images of this view again with one size.",
            )  # fmt: skip


def _make_masks(nodule: Nodule, shadow: Shadow, view: View, settings: AnnotateCxrSettings) -> _Masks:
    path, contrast = shadow.path_mm, shadow.delta_line_integral
    limits = (
        path > max(settings.full_path_mm, settings.full_fraction * float(path.max(initial=0.0))),
        contrast > settings.visual_fraction * float(contrast.max(initial=0.0)),
        contrast > settings.core_fraction * float(contrast.max(initial=0.0)),
    )
    full, visual, core = (place_window(mask, shadow.row, shadow.column, view.shape) for mask in limits)
    if not visual.any():
        raise CaseRefused(
            "NODULE_OUTSIDE_VIEW", where=f"annotate {nodule.nodule_id}",
            found=f"no pixel of the nodule at {[round(v, 1) for v in nodule.center_world_mm]} mm on the image",
            needed="every nodule on the detector", hint="Use a larger detector, or sample nodules with another seed.",
        )  # fmt: skip
    return _Masks(full | visual, visual, core)


def _centroid_px(shadow: Shadow) -> Point:
    path = shadow.path_mm.astype(np.float64)
    total = path.sum()
    row = float((path.sum(axis=1) * np.arange(path.shape[0])).sum() / total) + shadow.row
    column = float((path.sum(axis=0) * np.arange(path.shape[1])).sum() / total) + shadow.column
    return column + 0.5, row + 0.5


def _is_truncated(full: Mask, edge_fraction: float) -> bool:
    x, y, width, height = box_of(full)
    rows, columns = full.shape
    across, down = edge_fraction * columns, edge_fraction * rows
    return x <= across or y <= down or x + width >= columns - across or y + height >= rows - down


def _measure_overlap(
    shadow: Shadow, overlap_mm: Mapping[str, NDArray[np.float32]], shape: tuple[int, int], settings: AnnotateCxrSettings
) -> Overlap:
    weight = place_values(shadow.path_mm, shadow, shape)
    rows, columns = np.nonzero(weight)
    weights = weight[rows, columns].astype(np.float64) / weight.sum(dtype=np.float64)
    paths = {
        name: overlap_mm[name][rows, columns].astype(np.float64) if name in overlap_mm else np.zeros(len(rows))
        for name in ("lung", "mediastinum", "bone")
    }
    return Overlap(
        mediastinum_fraction=float(weights[paths["mediastinum"] > settings.mediastinum_path_mm].sum()),
        bone_fraction=float(weights[paths["bone"] > settings.bone_path_mm].sum()),
        lung_path_mm=float(weights @ paths["lung"]), mediastinum_path_mm=float(weights @ paths["mediastinum"]),
        bone_path_mm=float(weights @ paths["bone"]),
    )  # fmt: skip


def _transfer_ratio(drr: Pair, cxr: Pair, full: Mask) -> float:
    before = (drr.positive[full] - drr.twin[full]).astype(np.float64)
    after = (cxr.positive[full] - cxr.twin[full]).astype(np.float64)
    return float(before @ after) / max(float(before @ before), 1e-12)


def _leakage(cxr: Pair, union: Mask) -> float:
    energy = (cxr.positive.astype(np.float64) - cxr.twin) ** 2
    return float(energy[~union].sum()) / max(float(energy[union].sum()), 1e-12)
