"""The last look at an inserted nodule: what does not show as asked is refused, never labelled."""

from math import pi

from drrx.annotate.settings import AnnotateCxrSettings
from drrx.errors import CaseRefused
from drrx.records.annotation import Annotation, Box
from drrx.records.nodule import Nodule


def is_near_border(box: Box, shape: tuple[int, int], edge_fraction: float) -> bool:
    """Return whether ``box`` comes nearer to the border of an image ``shape`` than this share of its sides."""
    x, y, width, height = box
    across, down = edge_fraction * shape[1], edge_fraction * shape[0]
    return x <= across or y <= down or x + width >= shape[1] - across or y + height >= shape[0] - down


def check_annotation(found: Annotation, where: str, settings: AnnotateCxrSettings) -> None:
    """Check an inserted nodule as it came out; nodules that the CT had are what they are, and pass.

    Raises
    ------
    CaseRefused
        ``NODULE_CHECK``: the full box is near the border or cut by it, the nodule is fainter than
        ``min_delta_log_peak``, its volume is not the one asked for, or too little of its HU is there.
    """
    nodule = found.nodule
    if nodule.origin == "real":
        return
    if found.truncated:
        raise _refuse(nodule, where, f"a full box {[round(v) for v in found.bbox_full]} px",
                      f"a box off the outer {100 * settings.edge_fraction:g} % of the image",
                      "Use a larger detector, or sample nodules with another seed.")  # fmt: skip
    if found.delta_log_peak < settings.min_delta_log_peak:
        raise _refuse(nodule, where, f"a peak of {found.delta_log_peak:.4f} in -ln(I/I0)",
                      f"at least {settings.min_delta_log_peak:g}",
                      "Ask for larger or denser nodules, or set annotate_cxr.min_delta_log_peak to 0.")  # fmt: skip
    asked_mm3, got_mm3 = pi / 6 * nodule.diameter_mm**3, nodule.measures.volume_mm3
    if abs(got_mm3 / asked_mm3 - 1) > settings.max_volume_error:
        raise _refuse(nodule, where, f"{got_mm3:.1f} mm3 for a diameter of {nodule.diameter_mm:.2f} mm",
                      f"{asked_mm3:.1f} mm3 within {100 * settings.max_volume_error:g} %",
                      "Sample the nodules of this case again.")  # fmt: skip
    if nodule.measures.delta_hu_ratio < settings.min_delta_hu_ratio:
        raise _refuse(nodule, where, f"{100 * nodule.measures.delta_hu_ratio:.0f} % of the HU asked for",
                      f"at least {100 * settings.min_delta_hu_ratio:g} %",
                      "Sample the nodules of this case again: tissue was there already.")  # fmt: skip


def _refuse(nodule: Nodule, where: str, found: str, needed: str, hint: str) -> CaseRefused:
    return CaseRefused("NODULE_CHECK", where=f"{where} {nodule.nodule_id}", found=found, needed=needed, hint=hint)
