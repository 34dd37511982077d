"""Frames and views; numpy only."""

from drrx.geometry.view import View, make_frontal_view

__all__ = ["View", "make_frontal_view"]
