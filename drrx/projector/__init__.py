"""Line integrals of volumes along cone-beam rays: one signature, three ways to compute it.

``project_volume`` is the CPU kernel, ``project_volume_torch`` the one for a GPU, ``project_volume_reference`` the slow
and readable one that tests hold the others to.
"""

from drrx.projector.cpu import project_volume
from drrx.projector.reference import project_volume_reference

__all__ = ["project_volume", "project_volume_reference"]
