"""Numbers and flags that say whether a segmentation can be trusted."""

import numpy as np

from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lungs import Lungs
from drrx.anatomy.morphology import Mask
from drrx.volume import Volume

LITRES = (1.5, 10.0)
RATIO = (0.6, 1.15)
MEAN_HU = (-930.0, -600.0)
CUT_CM2 = 5.0
CONTRAST_HU = 130.0
RIM_SHARE = 0.05

Qc = dict[str, float | int | str | bool]


def measure_quality(ct: Volume, coarse: Coarse, raw: Lungs, lungs: Lungs, body: Mask, blood_hu: float) -> Qc:
    """Return volumes (litres), mean HU, cut areas (cm2) and ``flags`` (words with blanks between them).

    Flags: ``LUNG_SMALL``, ``LUNG_LARGE``, ``LUNGS_UNEQUAL``, ``LUNG_HU_ODD``, ``LUNG_CUT_TOP``, ``LUNG_CUT_BOTTOM``,
    ``LUNG_FILLED`` (much non-aerated tissue was closed in), ``CONTRAST``, ``BODY_CUT`` (body meets the image's rim).
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
        "body_on_rim_share": round(_measure_rim(body), 4), "blood_hu": round(blood_hu, 1),
    }  # fmt: skip
    qc["flags"] = " ".join(_make_flags(qc))
    return qc


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
    }
    return [name for name, is_so in tests.items() if is_so]
