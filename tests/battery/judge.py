"""Is a volume that a reader gave the right one? Compared in LPS, whatever its axes are."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.io.canonical import orient
from drrx.volume import Volume
from tests.battery.body import MARKER_HU
from tests.battery.kind import Built

MARKER_FROM_HU = 700.0
HU_TOLERANCE = 10.0
VOXEL_TOLERANCE = 0.5
EXACT_MM = 0.1
# Away from edges: where HU change no more than this within two voxels, resampling cannot be 10 HU off.
FLAT_HU = 60.0
MAX_HU = 3071


def find_fault(found: Volume, built: Built, *, exact: bool) -> str:
    """Return what is wrong with a volume, or an empty text.

    Parameters
    ----------
    found
        HU with its place in LPS; axes in any order, oblique or not.
    built
        The input, with the truth.
    exact
        The grid within 0.1 mm and every voxel to the bit. Otherwise 0.5 voxels, and 10 HU away from edges.
    """
    if built.truth is None:
        return "a volume of an input that gives none"
    faults = [_compare(found, truth, built, exact) for truth in (built.truth, *built.others)]
    return min(faults, key=len)


def _compare(found: Volume, truth: Volume, built: Built, exact: bool) -> str:
    found = orient(found)
    values = np.minimum(np.asarray(found.values, dtype=np.float64), MAX_HU)
    tolerance_mm = EXACT_MM if exact else VOXEL_TOLERANCE * min(truth.spacing_mm)
    off_mm = measure_markers(found.with_values(values), built.markers_mm)
    if off_mm > tolerance_mm:
        return f"markers {off_mm:.2f} mm off"
    if is_same_grid(found, truth, EXACT_MM if exact else 0.02 * min(truth.spacing_mm)):
        return _compare_voxels(values, truth, exact)
    return "another grid" if exact else _compare_places(found.with_values(values), truth)


def to_canonical(values: NDArray, affine: NDArray[np.float64]) -> Volume:
    """Return what another reader gave with its axes permuted and flipped to the canonical ones."""
    return orient(Volume(values, affine))


def is_same_grid(first: Volume, second: Volume, tolerance_mm: float) -> bool:
    """Return whether both grids have the same shape and the same corners."""
    if first.shape != second.shape:
        return False
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(first.shape) - 1)
    return bool(np.abs(first.to_world(corners) - second.to_world(corners)).max() <= tolerance_mm)


def measure_markers(found: Volume, markers_mm: NDArray[np.float64]) -> float:
    """Return how far the bright balls are from where they were planted, mm; the worst of all, infinite if missing."""
    if not len(markers_mm):
        return 0.0
    weight = np.nan_to_num(np.clip(found.values, MARKER_FROM_HU, MARKER_HU) - MARKER_FROM_HU)
    labels, count = ndimage.label(weight > 0, np.ones((3, 3, 3)))
    if not count:
        return np.inf
    places = found.to_world(np.array(ndimage.center_of_mass(weight, labels, np.arange(count) + 1)))
    return float(np.linalg.norm(places[:, None] - markers_mm[None], axis=-1).min(axis=0).max())


def _compare_voxels(values: NDArray[np.float64], truth: Volume, exact: bool) -> str:
    off = np.nan_to_num(np.abs(values - truth.values), nan=np.inf)
    tolerance = 0 if exact else HU_TOLERANCE
    if off.max() <= tolerance:
        return ""
    worst = float(off.max() if exact else off[_find_flat(truth)].max())
    return f"{worst:.0f} HU off" if worst > tolerance else ""


def _find_flat(truth: Volume) -> NDArray[np.bool_]:
    values = truth.values.astype(np.int32)
    span = ndimage.maximum_filter(values, 5) - ndimage.minimum_filter(values, 5)
    flat: NDArray[np.bool_] = span <= FLAT_HU
    if flat.mean() < 0.02:
        raise ValueError(f"only {flat.mean():.1%} of the truth can be compared")
    return flat


def _compare_places(found: Volume, truth: Volume) -> str:
    flat = _find_flat(truth)
    wanted = found.to_index(truth.to_world(np.argwhere(flat)))
    inside = ((wanted > -0.51) & (wanted < np.array(found.shape) - 0.49)).all(axis=1)
    if inside.mean() < 0.98:
        return f"{100 * (1 - inside.mean()):.0f} % of the scan missing"
    places = truth.to_index(found.to_world(np.moveaxis(np.indices(found.shape), 0, -1)))
    known = (places > -0.5).all(axis=-1) & (places < np.array(truth.shape) - 0.5).all(axis=-1)
    at = places[known].T
    sure = ndimage.map_coordinates(flat.astype(np.uint8), np.rint(at), order=0) > 0
    expected = ndimage.map_coordinates(truth.values.astype(np.float64), at, order=1, mode="nearest")
    off = np.abs(found.values[known] - expected)[sure]
    worst = float(np.nan_to_num(off, nan=np.inf).max()) if off.size else np.inf
    return f"{worst:.0f} HU off" if worst > HU_TOLERANCE else ""
