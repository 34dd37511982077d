"""How far the body goes on beyond the border of the field of view."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from drrx.projector.border import Border
from drrx.volume import Volume

NUM_ANGLES = 180
SLICE_MM = 5.0  # contours are completed on slices about this far apart
RIM_MM = 4.0  # body masks are uncertain this near to the border
RIM_VOXELS = np.array([1.5, 2.5, 3.5])  # what lies at the border is seen this deep inside it
SKIN_AIR_HU = -925  # darker than this at the border: the body ends before it
BAND_MM = 40  # contours are followed inward this far
MAX_SLOPE = 1.5  # skin that leaves the border more steeply counts as this steep
MAX_ADDED_MM = 50.0
USUAL_ADDED_MM = 30.0
STIFFNESS_MM = 45.0  # gaps much wider than this take the usual width in their middle
ROUGHNESS_MM = 5.0  # contours are smoothed over about this length
FIT_MM = 30.0  # contours count this far from where they are cut


@dataclass(frozen=True, eq=False)
class Outline:
    """Outer contour of the body about the middle of the field of view.

    Attributes
    ----------
    added_mm
        float64 ``[slice, angle]``: from the border to the completed contour; negative where the body ends inside.
    is_cut
        bool ``[slice, angle]``: where the body goes through the border.
    slices
        CT slices of the rows of both.
    """

    added_mm: NDArray[np.float64]
    is_cut: NDArray[np.bool_]
    slices: NDArray[np.intp]

    def at(self, num_slices: int, num_angles: int) -> NDArray[np.float32]:
        """Return ``added_mm`` for all slices and for more angles, float32 ``[slice, angle]``."""
        rows = np.interp(np.arange(num_slices), self.slices, np.arange(len(self.slices)))
        columns = np.arange(num_angles) * NUM_ANGLES / num_angles
        around = np.concatenate([self.added_mm, self.added_mm[:, :1]], axis=1)
        grid = np.broadcast_arrays(rows[:, None], columns)
        return ndimage.map_coordinates(around, grid, order=1, output=np.float32)


def make_angles(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (row, column) parts of unit vectors at ``count`` angles, from +column towards +row."""
    angles = np.arange(count) * (2 * np.pi / count)
    return np.sin(angles), np.cos(angles)


def sample_polar(
    values: NDArray, slices: NDArray, border: Border, spacing_mm: tuple[float, ...], count: int, inward_mm: NDArray
) -> NDArray:
    """Return the nearest voxels ``[slice, angle, depth]`` at depths ``inward_mm`` inside the border."""
    directions = make_angles(count)
    radius = np.maximum(border.radius_mm(*directions)[:, None] - inward_mm, 0)
    rows, columns = (
        np.clip(np.rint((middle + part[:, None] * radius) / mm).astype(np.intp), 0, size - 1)
        for middle, part, mm, size in zip(border.center_mm, directions, spacing_mm[1:], values.shape[1:], strict=True)
    )
    flat = rows * values.shape[2] + columns
    return np.stack([values[index].ravel()[flat] for index in slices])


def find_outline(ct: Volume, body: NDArray[np.bool_], border: Border) -> Outline | None:
    """Follow the skin to the border and go on beyond it as smoothly as a thin plate; ``None`` if nothing is cut.

    Contours are completed in all slices together, so that neighbours fit: a thin-plate smoothing spline (Duchon, 1977)
    over angle and slice of the inverse square of the radius, in which an ellipse is a sine wave.
    """
    count = int(np.ceil(ct.shape[0] / max(1.0, SLICE_MM / ct.spacing_mm[0])))
    slices = np.unique(np.rint(np.linspace(0, ct.shape[0] - 1, count)).astype(np.intp))
    is_cut = _find_cuts(ct, body, border, slices)
    if not is_cut.any():
        return None
    radius = border.radius_mm(*make_angles(NUM_ANGLES))
    slice_mm = float(np.diff(slices).mean() * ct.spacing_mm[0]) if len(slices) > 1 else 1.0
    steps_mm = slice_mm, float(2 * np.pi * radius.mean() / NUM_ANGLES)
    away_mm = _measure_distance(is_cut, steps_mm)
    depths = np.arange(1.0, BAND_MM + 1)
    is_inside = sample_polar(body, slices, border, ct.spacing_mm, NUM_ANGLES, depths)
    gap_mm = np.where(is_inside.any(axis=-1), is_inside.argmax(axis=-1) + depths[0] / 2, depths[-1])
    added_mm = np.where(is_cut, 0.0, -np.minimum(gap_mm, MAX_SLOPE * away_mm))
    return Outline(_bridge(added_mm, is_cut, away_mm < FIT_MM, radius, steps_mm), is_cut, slices)


def _find_cuts(ct: Volume, body: NDArray[np.bool_], border: Border, slices: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return ``[slice, angle]`` where the body reaches the border and there is no air at it."""
    is_cut = sample_polar(body, slices, border, ct.spacing_mm, NUM_ANGLES, np.array([RIM_MM]))[..., 0]
    if is_cut.any():
        depths = RIM_VOXELS * border.voxel_mm
        rim_hu = sample_polar(ct.values, slices, border, ct.spacing_mm, NUM_ANGLES, depths)
        is_cut &= rim_hu.mean(axis=-1) > SKIN_AIR_HU
    return is_cut


def _measure_distance(is_cut: NDArray[np.bool_], steps_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Return the distance to the nearest cut, along the border and from slice to slice, in mm."""
    around = np.concatenate([is_cut] * 3, axis=1)
    return ndimage.distance_transform_edt(~around, sampling=steps_mm)[:, NUM_ANGLES : 2 * NUM_ANGLES]


def _bridge(
    added_mm: NDArray, is_cut: NDArray[np.bool_], is_fitted: NDArray[np.bool_], radius: NDArray,
    steps_mm: tuple[float, float],
) -> NDArray[np.float64]:  # fmt: skip
    """Replace ``added_mm`` where the body is cut by a thin plate fitted to the contour around it.

    What is found is held below ``MAX_ADDED_MM``.
    """
    scale = radius.mean() ** 2
    rows = np.flatnonzero(is_fitted.any(axis=1))
    part = slice(max(0, rows[0] - 2), rows[-1] + 3)
    beyond = np.where(is_cut, USUAL_ADDED_MM, added_mm)[part]
    target = (scale / (radius + beyond) ** 2).ravel()
    weight = np.where(is_cut[part], STIFFNESS_MM, ROUGHNESS_MM).ravel() ** -4.0
    fitted = is_fitted[part].ravel()
    system = _bending_energy(is_fitted[part], steps_mm) + sparse.diags(weight[fitted])
    found = np.ones(fitted.shape)
    found[fitted] = spsolve(system.tocsc(), (weight * target)[fitted])
    wide_mm = np.sqrt(scale / np.maximum(found, 1e-2)).reshape(beyond.shape) - radius
    bridged = added_mm.copy()
    bridged[part] = np.where(is_cut[part], MAX_ADDED_MM * np.tanh(np.maximum(wide_mm, 0) / MAX_ADDED_MM), beyond)
    return bridged


def _bending_energy(is_plate: NDArray[np.bool_], steps_mm: tuple[float, float]) -> sparse.csr_matrix:
    """Return the energy of a thin plate over some cells ``[slice, angle]``, closed in angle, its rims free."""
    rows, columns = is_plate.shape
    one, ring = sparse.identity(rows, format="csr"), sparse.identity(columns, format="csr")
    up = (one[1:] - one[:-1]) / steps_mm[0]
    around = (ring[np.arange(1, columns + 1) % columns] - ring) / steps_mm[1]
    bends = sparse.vstack([
        sparse.kron((up.T @ up)[1:-1], ring), np.sqrt(2) * sparse.kron(up, around),
        sparse.kron(one, around.T @ around),
    ]).tocsr()  # fmt: skip
    off_plate = (~is_plate).ravel().astype(float)
    bends = bends[abs(bends) @ off_plate == 0][:, is_plate.ravel()]
    return (bends.T @ bends).tocsr()
