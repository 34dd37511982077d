"""Frames, views, their names and small motions; numpy only."""

from drrx.geometry.name import PROJECTIONS, VIEW_NAME_PATTERN, VIEW_NAMES, Projection, ViewName
from drrx.geometry.pose import Pose
from drrx.geometry.standard import make_standard_view
from drrx.geometry.view import View

__all__ = [
    "PROJECTIONS",
    "VIEW_NAMES",
    "VIEW_NAME_PATTERN",
    "Pose",
    "Projection",
    "View",
    "ViewName",
    "make_standard_view",
]
