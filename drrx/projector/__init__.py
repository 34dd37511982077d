"""Line integrals of volumes along cone-beam rays: one signature, three ways to compute it.

``project_volume`` is what the pipeline calls, on a CPU (``cpu.py``) or a GPU (``gpu.py``); ``project_volume_reference``
is the slow and readable one that tests hold both to.
"""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
    from drrx.projector.project import project_volume
    from drrx.projector.reference import project_volume_reference
    from drrx.projector.window import find_window, make_view

__all__ = ["find_window", "make_view", "project_volume", "project_volume_reference"]

__getattr__ = import_on_use(
    __name__,
    {
        "find_window": "window",
        "make_view": "window",
        "project_volume": "project",
        "project_volume_reference": "reference",
    },
)
