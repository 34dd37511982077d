"""Fit of blurred edges between air and skin, many at once, each in a small patch of raw voxels.

No voxel is interpolated: as in the slanted-edge method (ISO 12233), a surface that crosses the grid at an angle samples
its own profile far more finely than the grid. The surface is curved in both tangents, and skin lies on softer fat, so
the profile is two steps

``HU(n) = air + skin Phi(u) + fat Phi(u - thickness / sigma)``, ``u = (n - p(t, s)) / sigma``,
``p(t, s) = p0 + p1 t + p2 t^2 + p3 s + p4 s^2``,

blurred by one Gaussian; all ten numbers are fitted by Levenberg and Marquardt's method (Marquardt 1963).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from drrx.nodule.shape import FWHM_PER_SIGMA

AIR_HU, FAT_HU = -1000.0, -80.0
# p0 mm, p1, p2 1/mm, p3, p4 1/mm, ln(sigma/mm), thickness of the skin mm, HU of air, of skin over air, of fat over skin
START = np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.log(0.6), 1.8, AIR_HU, 1050.0, -150.0])
SCALE = np.array([1.0, 0.1, 0.01, 0.1, 0.01, 0.3, 1.0, 100.0, 100.0, 100.0])  # what counts as a large change
PRIOR_HU2 = 0.4  # holds numbers that a patch does not determine (the skin of a body without skin)
NUM_STEPS = 12
LOG_SIGMA, THICKNESS, AIR, SKIN = 5, 6, 7, 8
LIMITS = {LOG_SIGMA: (np.log(0.08), np.log(3.0)), THICKNESS: (0.8, 3.5)}

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Patches:
    """Raw voxels around many places on a surface, all float64 ``[place, voxel]``.

    Attributes
    ----------
    hu
        Values of the CT.
    normal_mm, t_mm, s_mm
        Place of each voxel along the inward normal and along two tangents.
    """

    hu: Array
    normal_mm: Array
    t_mm: Array
    s_mm: Array


@dataclass(frozen=True, eq=False)
class Edges:
    """What was fitted, one number per place.

    Attributes
    ----------
    fwhm_mm
        Full width at half maximum of the line spread along the normal of the patch.
    slopes
        ``[place, 2]``: how the surface leaves the plane across the normal, mm per mm, along t and s.
    shift_mm
        From the voxel that was looked at to the surface.
    air_hu, step_hu, rms_hu
        Level in front of the surface, height of the skin over it, and root mean square of what the model leaves.
    """

    fwhm_mm: Array
    slopes: Array
    shift_mm: Array
    air_hu: Array
    step_hu: Array
    rms_hu: Array


def fit_edges(patches: Patches, front_mm: float = 3.0, behind_mm: float = 4.0, reach_mm: float = 5.0) -> Edges:
    """Fit every patch.

    Parameters
    ----------
    patches
        Within ``reach_mm`` of the surface along the normal on both sides.
    front_mm, behind_mm
        Voxels this far in front of and behind the surface are used.
    reach_mm
        How far voxels reach along the normal: a first place of the surface comes from the mean HU within it.
    """
    numbers = np.tile(START, (len(patches.hu), 1))
    near = np.abs(patches.normal_mm) <= reach_mm
    share = np.clip((patches.hu - AIR_HU) / (FAT_HU - AIR_HU), 0, 1)
    numbers[:, 0] = reach_mm * (1 - 2 * (share * near).sum(1) / np.maximum(near.sum(1), 1))
    depth = patches.normal_mm - numbers[:, :1]
    used = (depth >= -front_mm) & (depth <= behind_mm)
    voxels = _gather(patches, used)
    weight = np.arange(voxels.hu.shape[1]) < used.sum(1)[:, None]
    numbers, rest = _minimise(voxels, weight.astype(np.float64), numbers)
    rms = np.sqrt((weight * rest**2).sum(1) / np.maximum(weight.sum(1), 1))
    fwhm = FWHM_PER_SIGMA * np.exp(numbers[:, LOG_SIGMA])
    return Edges(fwhm, numbers[:, [1, 3]], numbers[:, 0], numbers[:, AIR], numbers[:, SKIN], rms)


def _gather(patches: Patches, used: NDArray[np.bool_]) -> Patches:
    """Move the used voxels of each patch to the front and drop what no patch uses."""
    count = max(int(used.sum(1).max(initial=0)), 1)
    order = np.argsort(~used, axis=1, kind="stable")[:, :count]
    fields = (patches.hu, patches.normal_mm, patches.t_mm, patches.s_mm)
    return Patches(*(np.take_along_axis(values, order, axis=1) for values in fields))


def _minimise(voxels: Patches, weight: Array, numbers: Array) -> tuple[Array, Array]:
    """Damped least squares of all patches side by side; a patch takes a step only where it gets better."""
    damping = np.full(len(numbers), 1e-2)
    prior = PRIOR_HU2 / SCALE**2
    rest = voxels.hu - _model(voxels, numbers)[0]
    cost = (weight * rest**2).sum(1)
    for _ in range(NUM_STEPS):
        slopes = _slopes(voxels, numbers)
        weighted = slopes * weight[:, None]
        matrix = weighted @ slopes.transpose(0, 2, 1)
        diagonal = np.einsum("nkk->nk", matrix)
        diagonal += damping[:, None] * diagonal + prior
        step = np.linalg.solve(matrix, (weighted @ rest[:, :, None]))[:, :, 0]
        tried = numbers + np.clip(step, -3 * SCALE, 3 * SCALE)
        for column, (low, high) in LIMITS.items():
            tried[:, column] = np.clip(tried[:, column], low, high)
        tried_rest = voxels.hu - _model(voxels, tried)[0]
        tried_cost = (weight * tried_rest**2).sum(1)
        better = tried_cost < cost
        numbers = np.where(better[:, None], tried, numbers)
        rest, cost = np.where(better[:, None], tried_rest, rest), np.where(better, tried_cost, cost)
        damping = np.clip(np.where(better, damping * 0.3, damping * 5), 1e-6, 1e3)
    return numbers, rest


def _model(voxels: Patches, numbers: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return HU, and depth in sigmas and blurred step of the skin and of the fat."""
    p0, p1, p2, p3, p4, log_sigma, thickness, air, skin, fat = numbers.T[:, :, None]
    surface = p0 + voxels.t_mm * (p1 + voxels.t_mm * p2) + voxels.s_mm * (p3 + voxels.s_mm * p4)
    depth = (voxels.normal_mm - surface) / np.exp(log_sigma)
    deeper = depth - thickness / np.exp(log_sigma)
    outer, inner = ndtr(depth), ndtr(deeper)
    return air + skin * outer + fat * inner, depth, deeper, outer, inner


def _slopes(voxels: Patches, numbers: Array) -> Array:
    """Return the derivatives of the model by its numbers, ``[place, number, voxel]``."""
    _, depth, deeper, outer, inner = _model(voxels, numbers)
    sigma, skin, fat = np.exp(numbers[:, LOG_SIGMA, None]), numbers[:, SKIN, None], numbers[:, SKIN + 1, None]
    at_skin = skin * np.exp(-(depth**2) / 2) / np.sqrt(2 * np.pi) / sigma
    at_fat = fat * np.exp(-(deeper**2) / 2) / np.sqrt(2 * np.pi) / sigma
    shift, t, s = -(at_skin + at_fat), voxels.t_mm, voxels.s_mm
    widen, ones = -(at_skin * depth + at_fat * deeper) * sigma, np.ones_like(depth)
    return np.stack([shift, shift * t, shift * t * t, shift * s, shift * s * s, widen, -at_fat, ones, outer, inner], 1)
