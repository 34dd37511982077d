"""Anatomical thorax CTs drawn from a seed."""

from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import Phantom, make_phantom

__all__ = ["MakePhantomSettings", "Phantom", "make_phantom"]
