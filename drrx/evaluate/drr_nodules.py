"""Does restoration keep the nodules of DRRs? Twin test: variant and twin, restored with one seed and one window."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.annotate.mask import box_of
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow
from drrx.evaluate.interval import bootstrap_mean
from drrx.evaluate.observer import measure_d_prime, to_auc
from drrx.evaluate.twins import TwinRow
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.twin import Twin, restore_twin
from drrx.seeds import make_seed

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
LIMITS = AnnotateCxrSettings()
NEIGHBOURHOOD = 1.5
GOALS = {"transfer": (0.9, 1.1), "outside": (0.0, 0.05), "iou": (0.9, 1.0)}
MAX_AUC_LOSS = 0.02


@dataclasses.dataclass(frozen=True, eq=False)
class Change:
    """Twin and variant before and after restoration, windowed values, float32 ``[row, column]``."""

    twin_in: Image
    variant_in: Image
    twin_out: Image
    variant_out: Image


def measure_twins(
    rows: Sequence[TwinRow], restorer: Restorer, settings: RestoreCxrSettings, seed: int, *,
    resamples: int = 2000, progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """Restore every twin and variant and measure each nodule; see ``measure_change`` and ``summarize``."""
    found: list[dict[str, Any]] = []
    how = dataclasses.replace(settings, tone="full")
    for row in rows:
        lung, restore_seed = row.read_lung(), make_seed(seed, "nodules", row.name)
        twin = restore_twin(row.read_drr(), restorer, how, restore_seed, row.map_nodules())
        for variant in row.variants:
            drr = row.read_drr(variant)
            change = make_change(twin, drr, twin.restore_variant(drr))
            names = {"case": row.case.name, "variant": variant, "view": row.view}
            found += [names | measured for measured in measure_change(change, row.read_shadows(variant), lung)]
            progress(f"{row.name} {variant}")
    return summarize(found, resamples)


def make_change(twin: Twin, drr: Image, restored: Image) -> Change:
    """Return variant and twin before and after restoration; before in the window that the restorer starts from."""
    twin_in, variant_in = (np.clip(twin.restored.look.window.apply(image), 0.0, 1.0) for image in (twin.drr, drr))
    return Change(twin_in, variant_in, twin.restored.image, restored)


def measure_change(change: Change, shadows: Sequence[Shadow], lung: Mask) -> list[dict[str, Any]]:
    """Measure what restoration does to each nodule; one dict per nodule that the view shows.

    With ``d_in``, ``d_out`` = variant minus twin before and after, and the nodule's mask ``M`` (rays with more path
    than the full box of ``annotate_cxr`` asks for, other nodules' pixels left out):

    ``gain``
        ``<d_out, d_in> / <d_in, d_in>`` over M.
    ``tone_gain``
        Slope of the least-squares line of the restored twin over the DRR's twin, both smoothed with a Gaussian of a
        quarter of the nodule's diameter, within 1.5 diameters of its middle: what restoration does there to contrasts
        from the nodule's size on.
    ``detail_gain``
        The same after a Gaussian of a whole diameter is taken off both: what it does to anatomy of the nodule's size.
        If that is as large as ``gain``, the nodule is amplified like all around it.
    ``transfer``
        ``gain / tone_gain``.
    ``correlation``
        Of d_out with d_in over M.
    ``outside``
        Share of d_out's energy, over the whole image, outside the masks of all nodules; ``outside_drr``: of d_in's.
    ``iou``
        Of the true box (``annotate_cxr``'s visual box: contrast above 20 % of its peak) with the box of the piece of
        ``|d_out|`` above 20 % of its peak in M that holds that peak. ``iou_drr``: the same of d_in.
    ``d_prime_drr``, ``d_prime``
        Channelized Hotelling observer before and after; see ``measure_d_prime``.
    """
    shape = change.twin_in.shape
    before, after = change.variant_in - change.twin_in, change.variant_out - change.twin_out
    masks = [_mask(shadow, (shape[0], shape[1])) for shadow in shadows]
    union = np.any(masks, axis=0) if masks else np.zeros(shape, bool)
    outside = {f"outside{name}": _share_outside(d, union) for name, d in (("", after), ("_drr", before))}
    found = []
    for i, (shadow, mask) in enumerate(zip(shadows, masks, strict=True)):
        own = mask & ~np.any([m for j, m in enumerate(masks) if j != i] or [np.zeros(shape, bool)], axis=0)
        if own.any() and (before[own] ** 2).sum() > 0:
            found.append({"nodule": i + 1} | _measure_one(change, before, after, shadow, own, lung) | outside)
    return found


def _measure_one(
    change: Change, before: Image, after: Image, shadow: Shadow, own: Mask, lung: Mask
) -> dict[str, float]:
    true = shadow.place(shadow.delta_line_integral, (own.shape[0], own.shape[1]))
    visual = true > LIMITS.visual_fraction * true.max()
    center, diameter = ndimage.center_of_mass(visual), 2 * float(np.sqrt(visual.sum() / np.pi))
    gain = float((after[own] * before[own]).sum() / (before[own] ** 2).sum())
    tone_gain, detail_gain = measure_local_gains(change.twin_in, change.twin_out, center, diameter)
    return {
        "diameter_px": diameter, "gain": gain, "tone_gain": tone_gain, "detail_gain": detail_gain,
        "transfer": gain / tone_gain,
        "correlation": float(np.corrcoef(after[own], before[own])[0, 1]),
        "iou": _iou(_found_box(after, own), box_of(visual)), "iou_drr": _iou(_found_box(before, own), box_of(visual)),
        "d_prime_drr": measure_d_prime(np.where(own, before, 0), change.twin_in, lung, center, diameter),
        "d_prime": measure_d_prime(np.where(own, after, 0), change.twin_out, lung, center, diameter),
    }  # fmt: skip


def measure_local_gains(
    twin_in: Image, twin_out: Image, center: tuple[float, float], diameter_px: float
) -> tuple[float, float]:
    """Return the local slopes of output over input, ``tone_gain`` and ``detail_gain`` of ``measure_change``."""
    reach = (NEIGHBOURHOOD + 3) * diameter_px
    window = tuple(
        slice(max(0, int(c - reach)), min(n, int(c + reach) + 1)) for c, n in zip(center, twin_in.shape, strict=True)
    )
    y, x = (np.arange(w.start, w.stop) - c for w, c in zip(window, center, strict=True))
    near = np.hypot(y[:, None], x[None, :]) <= NEIGHBOURHOOD * diameter_px
    parts = [twin[window].astype(np.float64) for twin in (twin_in, twin_out)]
    fine, coarse = (
        [ndimage.gaussian_filter(part, sigma) for part in parts] for sigma in (diameter_px / 4, diameter_px)
    )
    return _slope(*(f[near] for f in fine)), _slope(*((f - c)[near] for f, c in zip(fine, coarse, strict=True)))


def _slope(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    covariance = np.cov(before, after)
    return float(covariance[0, 1] / max(covariance[0, 0], 1e-12))


def _mask(shadow: Shadow, shape: tuple[int, int]) -> Mask:
    limit = max(LIMITS.full_path_mm, LIMITS.full_fraction * float(shadow.path_mm.max(initial=0.0)))
    return shadow.place(shadow.path_mm, shape) > limit


def _share_outside(change: Image, union: Mask) -> float:
    energy = change.astype(np.float64) ** 2
    return float(energy[~union].sum() / max(energy.sum(), 1e-12))


def _found_box(change: Image, own: Mask) -> tuple[float, float, float, float]:
    size = np.abs(change)
    peak = np.unravel_index(np.where(own, size, 0).argmax(), size.shape)
    labels, _ = ndimage.label(size > LIMITS.visual_fraction * size[peak])
    return box_of(labels == labels[peak])


def _iou(first: Sequence[float], second: Sequence[float]) -> float:
    width, height = (
        max(0.0, min(first[i] + first[i + 2], second[i] + second[i + 2]) - max(first[i], second[i])) for i in (0, 1)
    )
    both = width * height
    return both / (first[2] * first[3] + second[2] * second[3] - both)


def summarize(found: Sequence[dict[str, Any]], resamples: int = 2000) -> dict[str, Any]:
    """Return medians with 5th and 95th percentiles, shares within the goals, and the observer's loss; JSON-ready.

    ``within``: share of nodules with transfer 0.9-1.1, less than 5 % of energy outside, box IoU from 0.9. ``auc_drr``,
    ``auc``: mean over nodules. ``auc_change``: mean of after minus before with its 95 % interval (bootstrap over
    nodules; all views of one nodule stay together); ``auc_kept``: its lower end is not below -0.02.
    """
    names = [name for name in found[0] if isinstance(found[0][name], float)] if found else []
    spread = {
        name: [round(float(v), 4) for v in np.percentile([f[name] for f in found], (5, 50, 95))] for name in names
    }
    within = {n: round(float(np.mean([low <= f[n] <= high for f in found])), 4) for n, (low, high) in GOALS.items()}
    aucs = np.array([[to_auc(f["d_prime_drr"]), to_auc(f["d_prime"])] for f in found])
    units = [f"{f['case']} {f['variant']} {f['nodule']}" for f in found]
    change = [round(v, 4) for v in bootstrap_mean(list(aucs[:, 1] - aucs[:, 0]), units, resamples)]
    return {
        "nodules": len(set(units)), "images": len(found), "spread": spread, "within": within,
        "auc_drr": round(float(aucs[:, 0].mean()), 4), "auc": round(float(aucs[:, 1].mean()), 4),
        "auc_change": change, "auc_kept": change[1] >= -MAX_AUC_LOSS, "each": list(found),
    }  # fmt: skip
