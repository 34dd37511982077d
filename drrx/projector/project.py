"""The one signature of the projector."""

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.projector.cpu import project_volume_cpu
from drrx.volume import Volume


def project_volume(volume: Volume, view: View, *, device: str = "cpu") -> NDArray[np.float32]:
    """Integrate ``volume`` along the ray from the source to each pixel; the volume is 0 outside its grid.

    Joseph's method: one bilinear sample per slab of voxels along the axis that the rays mostly follow.

    Parameters
    ----------
    volume
        Values of any numeric dtype (bool and uint8 masks, int16, float32), per mm.
    view
        Any cone-beam view whose source lies outside the volume.
    device
        ``"cpu"`` for the numba kernel, else a torch device such as ``"cuda"``.

    Returns
    -------
    float32 ``[row, column]``: unit of the values times mm.

    Raises
    ------
    DrrxError
        The source lies inside the volume.
    """
    if device == "cpu":
        return project_volume_cpu(volume, view)
    from drrx.projector.gpu import project_volume_torch  # torch takes a second to import

    return project_volume_torch(volume, view, device)
