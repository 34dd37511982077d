"""Real nodules of a CT that somebody marked: from a label map to records and patches like those of inserted ones."""

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from drrx.nodule.kind import SOLID_ABOVE_HU, find_kind
from drrx.nodule.labels import IS_LUNG, IS_VESSEL, grow, sample_labels
from drrx.nodule.lung_map import LungMap, make_lung_map
from drrx.nodule.measure import centroid_mm, moment_axes, peak_log_signal
from drrx.nodule.removal import Removal, remove_nodule
from drrx.records.anatomy import LOBES, Anatomy, Label
from drrx.records.nodule import Attachment, Nodule, NoduleMeasures
from drrx.records.nodule_shape import Triple
from drrx.records.patch import NodulePatch
from drrx.volume import Volume

PLEURA_MM, TOUCHES_MM, LEAVES_MM = 1.0, 1.0, 3.0


@dataclass(frozen=True, eq=False)
class KnownNodule:
    """One real nodule.

    Attributes
    ----------
    nodule
        Its record, origin ``real``: everything measured, nothing drawn.
    patch
        Its grid: ``hu_after`` is the CT as it is, ``hu_before`` the CT without the nodule.
    donor_shift_mm
        Where the lung in its place came from, (x, y, z) from the nodule, LPS mm; ``None`` for a mean without texture.
    """

    nodule: Nodule
    patch: NodulePatch
    donor_shift_mm: Triple | None


def find_known_nodules(ct: Volume, known: Volume, anatomy: Anatomy) -> tuple[KnownNodule, ...]:
    """Return the real nodules of a CT, ``r1``, ``r2``, ..., in the order of their labels.

    Parameters
    ----------
    ct, known, anatomy
        Canonical CT (int16 HU), uint8 labels 0, 1..n and anatomy, all on one grid ``[slice, row, column]``.

    Raises
    ------
    CaseRefused
        ``ANNOTATIONS_MISMATCH``: a nodule outside the body, or without lung around it.
    """
    lungs = make_lung_map(anatomy)
    found = []
    for number in range(1, int(known.values.max()) + 1):
        removal = remove_nodule(ct, known.values, number, anatomy)
        patch = make_patch(ct, removal)
        nodule = _describe(f"r{number}", ct, patch, removal, anatomy, lungs)
        found.append(KnownNodule(nodule, patch, removal.donor_shift_mm))
    return tuple(found)


def make_patch(ct: Volume, removal: Removal) -> NodulePatch:
    """Return the nodule on a part of the CT's own grid.

    So the projector reads patch and CT alike, trilinear between the same voxels, and the CT less this patch projects
    exactly as the CT without the nodule; the occupancy is the mask, smoothed within a voxel by that reading.
    """
    mask, added = removal.mask.values, removal.added_hu.values
    used = [np.flatnonzero((mask | (added != 0)).any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    window = tuple(slice(max(0, int(found[0]) - 1), int(found[-1]) + 2) for found in used)
    affine = removal.mask.world_from_index.copy()
    affine[:3, 3] = removal.mask.to_world(np.array([part.start for part in window]))
    after = cut_like(ct, removal.mask)[window].astype(np.float32)
    return NodulePatch(mask[window].astype(np.float32), after + added[window], after, affine)


def cut_like(volume: Volume, window: Volume) -> NDArray:
    """Return the values of ``volume`` in the box of ``window``, a part of the same grid."""
    low = np.rint(volume.to_index(window.world_from_index[:3, 3])).astype(int)
    return volume.values[tuple(slice(a, a + n) for a, n in zip(low, window.shape, strict=True))]


def find_attachment(mask: NDArray[np.bool_], labels: NDArray[np.uint8], spacing_mm: Triple) -> Attachment:
    """Return what a nodule touches: the pleura within 1 mm, else a vessel that goes on for 3 mm, else nothing.

    ``mask`` and ``labels`` are ``[slice, row, column]`` with the voxel edges ``spacing_mm``; distances are from the
    mask and count one voxel as enough where voxels are wider.
    """
    distance = distance_transform_edt(~mask, sampling=[min(mm, PLEURA_MM) for mm in spacing_mm])
    wall = ~IS_LUNG[labels] & (labels != Label.AIRWAY) & ~mask
    if (wall & (distance <= PLEURA_MM)).any():
        return "juxtapleural"
    around = ~mask & (distance <= LEAVES_MM + 1)
    parts, count = label(IS_VESSEL[labels] & around)
    for number in range(1, count + 1):
        away = distance[parts == number]
        if away.min() <= TOUCHES_MM and away.max() >= LEAVES_MM:
            return "juxtavascular"
    return "isolated"


def _describe(
    name: str, ct: Volume, patch: NodulePatch, removal: Removal, anatomy: Anatomy, lungs: LungMap | None
) -> Nodule:
    mask, hu = removal.mask, cut_like(ct, removal.mask)
    labels = cut_like(anatomy.labels, removal.mask)
    depth = distance_transform_edt(mask.values, sampling=mask.spacing_mm)
    inner = mask.values & (depth >= np.median(depth[mask.values]))
    measures = _measure(patch, removal, hu, anatomy, lungs)
    lobes = labels[(distance_transform_edt(~mask.values, sampling=mask.spacing_mm) <= 5) & np.isin(labels, LOBES)]
    return Nodule(
        nodule_id=name, origin="real", seed=0, preset="annotated", kind=find_kind(hu[inner]), margin="unknown",
        attachment=find_attachment(mask.values, labels, mask.spacing_mm), center_world_mm=measures.centroid_world_mm,
        diameter_mm=float((6 * measures.volume_mm3 / pi) ** (1 / 3)), shape=None, transplant=None,
        hu_body=float(np.median(hu[inner])), hu_inclusion=None, hu_halo=None, hu_cavity=None,
        psf_fwhm_mm=(0.0, 0.0, 0.0), grid_spacing_mm=min(ct.spacing_mm),
        lobe_approx=Label(int(np.bincount(lobes).argmax())).name.lower() if lobes.size else "unknown",
        zone="free" if lungs is None else lungs.zones.zone_at(np.array(measures.centroid_world_mm)), num_attempts=0,
        measures=measures,
    )  # fmt: skip


def _measure(
    patch: NodulePatch, removal: Removal, hu: NDArray[np.int16], anatomy: Anatomy, lungs: LungMap | None
) -> NoduleMeasures:
    share, spacing = patch.occupancy, patch.grid.spacing_mm
    total, center = float(share.sum(dtype=np.float64)), centroid_mm(patch)
    axes, directions = moment_axes(share, spacing)
    axial, _ = moment_axes(share[int(share.sum(axis=(1, 2)).argmax())], spacing[1:])
    first, second, third = (_to_triple(direction) for direction in directions)
    core = float((removal.mask.values & (hu > SOLID_ABOVE_HU)).sum()) * removal.mask.voxel_volume_mm3
    labels = sample_labels(anatomy.labels, share.shape, patch.world_from_index)
    lung = grow(IS_LUNG[labels], PLEURA_MM, spacing)
    return NoduleMeasures(
        centroid_world_mm=center, volume_mm3=patch.volume_mm3, axes_mm=_to_triple(axes),
        axes_world=(first, second, third), long_axis_axial_mm=float(axial[0]), short_axis_axial_mm=float(axial[1]),
        solid_core_diameter_mm=float((6 * core / pi) ** (1 / 3)), hu_lung_local=removal.hu_lung,
        hu_mean_inserted=float((share * patch.hu_after).sum(dtype=np.float64)) / total, delta_hu_ratio=1.0,
        peak_log_signal=peak_log_signal(patch),
        pleura_distance_mm=_find_depth_mm(lungs, center), airway_fraction=0.0, vessel_fraction=0.0,
        outside_lung_fraction=float(share[~lung].sum()) / total,
        zone_fractions={"free": 1.0} if lungs is None else lungs.zones.fractions(patch),
    )  # fmt: skip


def _to_triple(values: NDArray[np.float64]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _find_depth_mm(lungs: LungMap | None, center_mm: Triple) -> float:
    """Return the depth in the lung at a place, mm; 0 outside the lungs."""
    if lungs is None:
        return 0.0
    index = np.rint(lungs.labels.to_index(np.array(center_mm))).astype(int)
    inside = (index >= 0).all() and (index < lungs.labels.shape).all()
    return float(lungs.distance_mm[tuple(index)]) if inside else 0.0
