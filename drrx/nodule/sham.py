"""A sham: what is left of an insertion when the nodule is made of lung."""

from dataclasses import replace
from typing import Any

import numpy as np

from drrx.nodule.measure import peak_log_signal
from drrx.records.nodule import Nodule, NoduleMeasures
from drrx.records.patch import NodulePatch


def make_sham(nodule: Nodule, patch: NodulePatch) -> tuple[Nodule, NodulePatch]:
    """Insert a nodule again with the local lung for every target.

    Same place, same blurred occupancy, same rule of mixing as for solid tissue, ``HU + w max(0, T - HU)``, with the
    median of the lung around it for ``T``: darker voxels are lifted to it, vessels stay. A detector that answers to a
    sham has learned the insertion, not the nodule.

    Parameters
    ----------
    nodule, patch
        What was inserted; the patch's ``hu_before`` and ``occupancy`` stay as they are.

    Returns
    -------
    nodule
        The record of the place: all targets are the local lung, and what the sham adds is measured anew;
        ``delta_hu_ratio`` is its added HU over those that the nodule was asked to add.
    patch
        float32 ``[z, y, x]`` on the same grid; it adds nothing where the occupancy is zero.
    """
    lung = nodule.measures.hu_lung_local
    lift = np.maximum(np.float32(0), np.float32(lung) - patch.hu_before)
    sham = replace(patch, hu_after=patch.hu_before + patch.occupancy * lift)
    return replace(nodule, measures=_measure(nodule, patch, sham), **_targets(nodule, lung)), sham


def _targets(nodule: Nodule, lung: float) -> dict[str, Any]:
    names = ("hu_body", "hu_inclusion", "hu_halo", "hu_cavity")
    return {name: lung for name in names if getattr(nodule, name) is not None}


def _measure(nodule: Nodule, patch: NodulePatch, sham: NodulePatch) -> NoduleMeasures:
    added, whole = (float(each.delta_hu.sum(dtype=np.float64)) for each in (sham, patch))
    share = sham.occupancy.astype(np.float64)
    return replace(
        nodule.measures, hu_mean_inserted=float((share * sham.hu_after).sum() / share.sum()),
        delta_hu_ratio=nodule.measures.delta_hu_ratio * added / whole, peak_log_signal=peak_log_signal(sham),
    )  # fmt: skip
