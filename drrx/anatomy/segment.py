"""Anatomy of a chest CT by thresholds and shapes."""

import numpy as np
from numpy.typing import NDArray

from drrx.anatomy.airways import cut_airways, find_airways
from drrx.anatomy.body import find_body, find_midline
from drrx.anatomy.bone import find_bone, find_contrast, find_heart_zone, measure_blood_hu
from drrx.anatomy.coarse import Coarse
from drrx.anatomy.lobes import LEFT, RIGHT, label_lobes
from drrx.anatomy.lungs import Lungs, close_lungs, find_gas, find_lungs, split_mask
from drrx.anatomy.mediastinum import find_mediastinum
from drrx.anatomy.morphology import Mask, dilate, erode
from drrx.anatomy.quality import Qc, measure_heart_side, measure_quality
from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.errors import CaseRefused, DrrxError
from drrx.records.anatomy import Anatomy, Label
from drrx.volume import Volume

SMOOTH_MM = 1.0
# A layer this thin at the pleura is never vessel: partial volume makes it dense.
PLEURA_MM = 2.5
# Lumen of airways up to their wall.
LUMEN_HU = -700


def segment_anatomy(
    ct: Volume, settings: SegmentAnatomySettings, *, lung_mask: NDArray[np.bool_] | None = None
) -> Anatomy:
    """Label body, bone, mediastinum, airways, lungs, lung vessels and approximate lobes of a canonical chest CT.

    Parameters
    ----------
    ct
        int16 HU, axis-aligned LPS, whole thorax.
    settings
        Thresholds and sizes.
    lung_mask
        The user's own mask of both lungs, bool on the CT's grid; it is taken as it is and only split into right
        and left.

    Returns
    -------
    Anatomy
        Labels on the CT's grid and numbers for quality control (``qc["flags"]`` names what is odd).

    Raises
    ------
    CaseRefused
        ``NO_LUNGS``: no two lungs of sensible size. ``LUNG_CUT``: more of them lies beyond the first or last slice
        than ``max_lung_cut_mm``.
    """
    coarse = Coarse.from_volume(ct, settings.work_spacing_mm)
    body = find_body(coarse, settings.body_hu)
    if lung_mask is not None:
        _check_mask(lung_mask, ct)
        body |= coarse.shrink(lung_mask)
    midline = find_midline(body)
    airways = find_airways(coarse, body, midline)
    air = cut_airways((coarse.hu < settings.lung_hu) & body, airways, coarse)
    gas = find_gas(coarse, air)
    raw = _find_raw(coarse, air, gas, midline, settings, lung_mask)
    zone = find_heart_zone(coarse, raw)
    blood_hu = measure_blood_hu(coarse, zone)
    contrast = find_contrast(coarse, body, zone, blood_hu)
    bone = find_bone(ct, coarse, body, contrast, settings.bone_hu)
    coarse_bone = coarse.shrink(bone)
    allowed = body & ~airways & ~coarse_bone & ~gas
    lungs = raw
    if lung_mask is None:
        lungs = close_lungs(raw, allowed, coarse, settings.closing_mm, settings.costal_closing_mm)
    mediastinum = find_mediastinum(coarse, lungs, coarse_bone, body, midline, bool(contrast.any()))
    labels = np.zeros(ct.shape, dtype=np.uint8)
    labels[coarse.grow(body, SMOOTH_MM)] = Label.BODY
    between = coarse.grow(mediastinum, SMOOTH_MM)
    labels[between] = Label.MEDIASTINUM
    labels[bone & ~between if contrast.any() else bone] = Label.BONE
    lumen = coarse.grow(dilate(airways, min(coarse.spacing_mm), coarse.spacing_mm)) & (ct.values < LUMEN_HU)
    labels[coarse.grow(airways) | lumen] = Label.AIRWAY
    _label_lungs(labels, ct, coarse, lungs, settings.vessel_hu, lung_mask)
    heart_left_share = measure_heart_side(mediastinum, lungs, midline)
    qc = measure_quality(ct, coarse, raw, lungs, body, heart_left_share, blood_hu)
    qc["lungs_from"] = "own mask" if lung_mask is not None else "thresholds"
    _check_cut(qc, settings)
    return Anatomy(ct.with_values(labels), qc)


def _check_cut(qc: Qc, settings: SegmentAnatomySettings) -> None:
    for end in ("top", "bottom"):
        missing_mm = float(qc[f"missing_{end}_mm"])
        if missing_mm > settings.max_lung_cut_mm:
            raise CaseRefused(
                "LUNG_CUT", where="segment_anatomy",
                found=f"lungs of {qc[f'cut_{end}_cm2']} cm2 in the {end} slice: about {missing_mm:g} mm are missing",
                needed=f"whole lungs, or at most {settings.max_lung_cut_mm:g} mm less",
                hint="Give the whole chest; segment_anatomy.max_lung_cut_mm sets the limit.",
            )  # fmt: skip


def _check_mask(lung_mask: NDArray[np.bool_], ct: Volume) -> None:
    if lung_mask.shape != ct.shape or lung_mask.dtype != bool:
        raise DrrxError(
            where="segment_anatomy lung_mask", found=f"{lung_mask.dtype} of shape {lung_mask.shape}",
            needed=f"bool of shape {ct.shape}", hint="Read the mask with drrx.io.mask.read_mask onto the CT's grid.",
        )  # fmt: skip


def _find_raw(
    coarse: Coarse, air: Mask, gas: Mask, midline: NDArray[np.float64], settings: SegmentAnatomySettings,
    lung_mask: NDArray[np.bool_] | None,
) -> Lungs:  # fmt: skip
    if lung_mask is not None:
        return split_mask(coarse.shrink(lung_mask), coarse, midline)
    return find_lungs(coarse, air, gas, midline, settings.min_lung_litre * 1000, settings.min_lungs_litre * 1000)


def _label_lungs(
    labels: NDArray[np.uint8], ct: Volume, coarse: Coarse, lungs: Lungs, vessel_hu: float,
    lung_mask: NDArray[np.bool_] | None,
) -> None:  # fmt: skip
    dense = ct.values > vessel_hu
    sides = ((lungs.right, RIGHT, Label.VESSEL_RIGHT), (lungs.left, LEFT, Label.VESSEL_LEFT))
    if lung_mask is None:
        grown = [coarse.grow(own, SMOOTH_MM) for own, _, _ in sides]
    else:  # every voxel of the user's mask goes to the nearer half
        nearer_right = _nearer_right(lungs)
        is_right = coarse.grow(nearer_right)
        grown = [lung_mask & is_right, lung_mask & ~is_right]
    for full, (own, fissures, vessel) in zip(grown, sides, strict=True):
        label_lobes(labels, full, fissures)
        labels[dense & full & coarse.grow(erode(own, PLEURA_MM, coarse.spacing_mm))] = vessel


def _nearer_right(lungs: Lungs) -> Mask:
    from scipy import ndimage

    to_right = ndimage.distance_transform_edt(~lungs.right)
    nearer: Mask = to_right <= ndimage.distance_transform_edt(~lungs.left)
    return nearer
