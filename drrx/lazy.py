"""Packages that show the names of their modules without importing them at once.

``drrx.config`` imports the settings of every stage, each time Snakemake parses the workflow and each time a command
starts; importing a package must therefore not load the libraries its modules compute with.
"""

import importlib
from collections.abc import Callable
from typing import Any


def import_on_use(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """Return a module ``__getattr__`` (PEP 562) for ``package``: each name is imported from its module when used.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    homes
        Module of the package in which each public name is defined.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get
