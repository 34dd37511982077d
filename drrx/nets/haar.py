"""Two-level Haar packet: an orthonormal change between an image and 16 bands on a 4 times coarser grid.

Orthonormal means that white noise stays white, energy is kept, and the inverse is the transpose: exact and free.
"""

import torch
from torch import Tensor
from torch.nn import functional

FACTOR = 4
NUM_BANDS = FACTOR * FACTOR


def haar_kernel() -> Tensor:
    """Return the 16 basis images, float32 ``[band, 1, 4, 4]``; band 0 is the mean, times 4.

    The rows of ``[[1, 1], [1, -1]] / sqrt(2)`` applied twice in each direction (Walsh order by construction). Band
    ``4 * vertical + horizontal``; index 0 = smooth, 1 = finest pairs, 2 = coarse step, 3 = both.
    """
    step = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2.0**0.5
    line = torch.kron(step, step)
    return torch.einsum("ai,bj->abij", line, line).reshape(NUM_BANDS, 1, FACTOR, FACTOR)


def to_haar(image: Tensor) -> Tensor:
    """Return the bands ``[batch, 16, H/4, W/4]`` of images ``[batch, 1, H, W]``; H and W are multiples of 4."""
    return functional.conv2d(image, haar_kernel().to(image), stride=FACTOR)


def from_haar(bands: Tensor) -> Tensor:
    """Return the images ``[batch, 1, H, W]`` of bands ``[batch, 16, H/4, W/4]``: the inverse of ``to_haar``."""
    return functional.conv_transpose2d(bands, haar_kernel().to(bands), stride=FACTOR)
