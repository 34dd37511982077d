"""Line integrals of volumes along cone-beam rays: one signature, three ways to compute it.

``project_volume`` is what the pipeline calls, on a CPU (``cpu.py``) or a GPU (``gpu.py``); ``project_volume_reference``
is the slow and readable one that tests hold both to.
"""
