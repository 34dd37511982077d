"""Numbers and flags that say whether a segmentation can be trusted."""

import numpy as np
from numpy.typing import NDArray

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask
from drrx.volume import Volume

LITRES = (1.5, 10.0)
RATIO = (0.6, 1.15)
MEAN_HU = (-930.0, -600.0)
CUT_CM2 = 5.0
# A smaller cross-section at the edge is the tip of a recess, whatever its profile says.
SURE_CUT_CM2 = 20.0
PROFILE_MM = 20.0
# The heart lies to the left: a share of 0.71 to 0.81 in three LIDC CTs, 0.28 in a flipped one.
ODD_HEART_SHARE = 0.42
CONTRAST_HU = 130.0
RIM_SHARE = 0.05

Qc = dict[str, float | int | str | bool]


def measure_quality(
    ct: Volume, coarse: Coarse, raw: Lungs, lungs: Lungs, body: Mask, heart_left_share: float, blood_hu: float
) -> Qc:
    """Return volumes (litres), mean HU, cut areas (cm2) and ``flags`` (words with blanks between them).

    Flags: ``LUNG_SMALL``, ``LUNG_LARGE``, ``LUNGS_UNEQUAL``, ``LUNG_HU_ODD``, ``LUNG_CUT_TOP``, ``LUNG_CUT_BOTTOM``,
    ``LUNG_FILLED`` (much non-aerated tissue was closed in), ``CONTRAST``, ``BODY_CUT`` (body meets the image's rim),
    ``SIDES_ODD`` (the heart lies to the right: a flipped image, or a rare patient; nothing else can tell a flip).
    """
    litre = coarse.voxel_ml / 1000.0
    right, left = float(lungs.right.sum()) * litre, float(lungs.left.sum()) * litre
    cm2 = float(np.prod(coarse.spacing_mm[1:])) / 100.0
    qc: Qc = {
        "right_lung_litre": round(right, 3), "left_lung_litre": round(left, 3),
        "lungs_litre": round(right + left, 3), "left_right_ratio": round(left / right, 3),
        "mean_lung_hu": round(float(coarse.hu[lungs.both].mean()), 1),
        "aerated_share": round(float((lungs.both & raw.both).sum() / lungs.both.sum()), 4),
        "body_litre": round(float(body.sum()) * litre, 2),
        "cut_top_cm2": round(float(lungs.both[-1].sum()) * cm2, 2),
        "cut_bottom_cm2": round(float(lungs.both[0].sum()) * cm2, 2),
        "missing_top_mm": _estimate_missing(lungs.both[::-1].sum(axis=(1, 2)) * cm2, coarse.spacing_mm[0], 1),
        "missing_bottom_mm": _estimate_missing(lungs.both.sum(axis=(1, 2)) * cm2, coarse.spacing_mm[0], 2),
        "heart_left_share": round(heart_left_share, 3),
        "body_on_rim_share": round(_measure_rim(body), 4), "blood_hu": round(blood_hu, 1),
    }  # fmt: skip
    qc["flags"] = " ".join(_make_flags(qc))
    return qc


def _estimate_missing(area_cm2: NDArray[np.float64], step_mm: float, power: int) -> float:
    """Return how much lung lies beyond the first slice, mm: where its cross-section would come to nothing.

    The section grows from the edge inward like a power of the distance from the tip: linearly at the apex, a dome, and
    with the square at the base, a wedge all around. In all 18 such cuts of three LIDC CTs by 5 to 30 mm the estimate
    was off by 40 % at most.
    """
    if area_cm2[0] <= SURE_CUT_CM2:
        return 0.0
    part = area_cm2[: max(2, round(PROFILE_MM / step_mm)) + 1]
    slope = float(np.polyfit(np.arange(len(part)) * step_mm, part, 1)[0]) if len(part) > 1 else 0.0
    whole_mm = len(area_cm2) * step_mm
    return round(min(whole_mm, power * float(part[0]) / slope) if slope > 0 else whole_mm, 1)


def measure_heart_side(mediastinum: Mask, lungs: Lungs, midline: NDArray[np.float64]) -> float:
    """Return which share of the mediastinum in the lower half of the lungs lies left of the midline; 0.5 for none."""
    slices = np.flatnonzero(lungs.both.any(axis=(1, 2)))
    lower = slice(slices[0], slices[0] + max(1, (slices[-1] - slices[0]) // 2))
    is_left = np.arange(mediastinum.shape[2])[None, :] > midline[lower, None]
    part = mediastinum[lower]
    return float((part & is_left[:, None, :]).sum() / part.sum()) if part.any() else 0.5


def _measure_rim(body: Mask) -> float:
    """Return the share of the body's outline (in slices) that lies on the rim of the image."""
    inner = body[:, 1:-1, 1:-1]
    rim = body.sum() - inner.sum()
    across = (body[:, 1:] ^ body[:, :-1]).sum() + (body[:, :, 1:] ^ body[:, :, :-1]).sum()
    return float(rim / max(rim + across, 1))


def _make_flags(qc: Qc) -> list[str]:
    def number(key: str) -> float:
        return float(qc[key])

    tests = {
        "LUNG_SMALL": number("lungs_litre") < LITRES[0],
        "LUNG_LARGE": number("lungs_litre") > LITRES[1],
        "LUNGS_UNEQUAL": not RATIO[0] <= number("left_right_ratio") <= RATIO[1],
        "LUNG_HU_ODD": not MEAN_HU[0] <= number("mean_lung_hu") <= MEAN_HU[1],
        "LUNG_FILLED": number("aerated_share") < 0.85,
        "LUNG_CUT_TOP": number("cut_top_cm2") > CUT_CM2,
        "LUNG_CUT_BOTTOM": number("cut_bottom_cm2") > CUT_CM2,
        "CONTRAST": number("blood_hu") > CONTRAST_HU,
        "BODY_CUT": number("body_on_rim_share") > RIM_SHARE,
        "SIDES_ODD": number("heart_left_share") < ODD_HEART_SHARE,
    }
    return [name for name, is_so in tests.items() if is_so]
