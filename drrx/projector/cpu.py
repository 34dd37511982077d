"""The projector on a CPU: picks the kernel, and gives it the arrays in the order of its axes."""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.projector.integrand import Integrand
from drrx.projector.joseph import find_boxes, project_by_rays
from drrx.projector.kinks import find_extents, project_by_kinks
from drrx.projector.rays import make_index_rays
from drrx.projector.tilted import find_untilted, read_tilted, split_slabs

NO_LABELS = np.empty((0, 0, 0), np.uint8)
LARGEST = 1e300  # stands for infinity, which compilers of fast arithmetic take for impossible


def project_on_cpu(integrand: Integrand, view: View) -> NDArray[np.float32]:
    """Do one job of ``drrx.projector.project`` on the CPU, with as many threads as numba has.

    Nothing is copied: the kernels read the integrand's own arrays through a view of the axes (a, n, b), ``n`` along the
    rays and ``b`` along the detector's rows.
    """
    rays = make_index_rays(integrand.volume, view)
    order = [rays.across[0], rays.axis, rays.across[1]]
    values = integrand.native_values.transpose(order)
    labels = NO_LABELS if integrand.labels is None or not integrand.masks else integrand.labels.transpose(order)
    source, ray00 = rays.source_index[order], (rays.pixel00_index - rays.source_index)[order]
    row_step, column_step = rays.row_step_index[order], rays.column_step_index[order]
    if column_step[2] < 0:
        # Kernels count b along the detector's rows.
        values, labels = values[:, :, ::-1], labels[:, :, ::-1]
        source[2] = values.shape[2] - 1 - source[2]
        ray00[2], row_step[2], column_step[2] = -ray00[2], -row_step[2], -column_step[2]
    bands = np.clip(np.reshape(integrand.bands, (-1, 2)), -LARGEST, LARGEST)
    channels = bands, integrand.offsets, integrand.mask_bits, len(integrand.masks)
    extents = find_extents(values, labels, *_find_empty_range(integrand, values.dtype))
    geometry = ray00, row_step, column_step, view.shape
    arrays = values, labels, *channels
    if rays.is_separable:
        image = project_by_kinks(*(*arrays, extents, source, *geometry))
    else:
        image = _project_tilted(arrays, extents, source, geometry)
    _scale_to_mm(image, *rays.length_terms)
    return image


def _project_tilted(
    arrays: tuple[Any, ...], extents: NDArray, source: NDArray, geometry: tuple[Any, ...]
) -> NDArray[np.float32]:
    """Joseph's sums of a tilted view: by way of an untilted detector as far as that goes, the rest ray by ray."""
    before, rest = split_slabs(extents, source, *geometry)
    untilted = find_untilted(before, source, *geometry)
    if untilted is None:
        return project_by_rays(*(*arrays, find_boxes(extents), source, *geometry))
    image = project_by_rays(*(*arrays, find_boxes(rest), source, *geometry))
    for part in untilted.stripes():
        steps = part.ray00, part.row_step, part.column_step, part.shape
        stripe = project_by_kinks(*(*arrays, before, source, *steps))
        read_tilted(image, stripe, part.ray00, *geometry[:3])
    return image


def _find_empty_range(integrand: Integrand, dtype: np.dtype) -> NDArray:
    """Return the lowest and the highest value that add nothing to any channel; in reverse order when all may add."""
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    lowest, highest = float(limits.min), float(limits.max)
    for low, _ in integrand.bands:
        lowest, highest = (lowest, min(highest, low)) if np.isfinite(low) else (max(lowest, 0.0), min(highest, 0.0))
    if lowest > highest or any(0 in members for members in integrand.masks):
        lowest, highest = float(limits.max), float(limits.min)
    return np.array([np.ceil(lowest), np.floor(highest)]).astype(dtype)


@njit(parallel=True, cache=True)
def _scale_to_mm(image, squares, slabs):  # type: ignore[no-untyped-def]
    """Multiply sums over slabs by the length of each ray in a slab, in mm: both are polynomials of row and column."""
    num_channels, num_rows, num_columns = image.shape
    for row in prange(num_rows):
        for column in range(num_columns):
            square = squares[0] + row * (squares[1] + row * squares[3]) + column * (squares[2] + column * squares[4])
            square += row * column * squares[5]
            length = np.float32(np.sqrt(square) / abs(slabs[0] + row * slabs[1] + column * slabs[2]))
            for channel in range(num_channels):
                image[channel, row, column] *= length
