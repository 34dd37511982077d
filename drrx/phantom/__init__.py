"""Anatomical thorax CTs drawn from a seed."""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
    from drrx.phantom.settings import MakePhantomSettings
    from drrx.phantom.thorax import Phantom, make_phantom

__all__ = ["MakePhantomSettings", "Phantom", "make_phantom"]

__getattr__ = import_on_use(
    __name__,
    {
        "MakePhantomSettings": "settings",
        "Phantom": "thorax",
        "make_phantom": "thorax",
    },
)
