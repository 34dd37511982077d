"""The one way into the projector."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.projector.cpu import project_on_cpu
from drrx.projector.integrand import Integrand
from drrx.volume import Volume


def project(jobs: Sequence[tuple[Integrand, View]], *, device: str = "cpu") -> list[NDArray[np.float32]]:
    """Integrate each integrand along the rays of its view: from the source to every pixel centre.

    Joseph's method (IEEE TMI 1982): one bilinear sample per slab of voxels along the axis that the rays mostly follow.
    A job may be a CT with one of its views or a nodule patch with the window it casts its shadow on. A GPU takes all
    jobs in one launch, and an integrand that occurs again (several views of one CT) is uploaded once.

    Parameters
    ----------
    jobs
        Pairs of what is integrated and a cone-beam view whose source lies outside the volume.
    device
        ``"cpu"`` for the numba kernel, else a torch device such as ``"cuda"``.

    Returns
    -------
    For each job float32 ``[channel, row, column]``: unit of the values times mm; masks in mm.

    Raises
    ------
    DrrxError
        A source lies inside its volume.
    """
    if device == "cpu":
        return [project_on_cpu(integrand, view) for integrand, view in jobs]
    from drrx.projector.gpu import project_on_gpu  # torch takes a second to import

    return project_on_gpu(jobs, device)


def project_volume(volume: Volume, view: View, *, device: str = "cpu") -> NDArray[np.float32]:
    """Integrate the values of one volume; float32 ``[row, column]``. See ``project``."""
    return project([(Integrand(volume), view)], device=device)[0][0]
