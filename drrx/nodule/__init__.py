"""Simulated lung nodules: numbers, shape, place, patch."""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
    from drrx.nodule.patch import insert_nodules
    from drrx.nodule.sample import NoduleSample, render_nodule, sample_nodules
    from drrx.nodule.settings import SampleNodulesSettings

__all__ = ["NoduleSample", "SampleNodulesSettings", "insert_nodules", "render_nodule", "sample_nodules"]

__getattr__ = import_on_use(
    __name__,
    {
        "NoduleSample": "sample",
        "SampleNodulesSettings": "settings",
        "insert_nodules": "patch",
        "render_nodule": "sample",
        "sample_nodules": "sample",
    },
)
