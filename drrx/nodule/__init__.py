"""Simulated lung nodules: numbers, shape, place, patch."""

from drrx.nodule.patch import insert_nodules
from drrx.nodule.sample import NoduleSample, render_nodule, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings

__all__ = ["NoduleSample", "SampleNodulesSettings", "insert_nodules", "render_nodule", "sample_nodules"]
