"""How every stage declares its settings: a frozen dataclass that refuses bad values."""

from collections.abc import Callable
from typing import TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

__all__ = ["Field", "settings"]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def settings(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, keyword-only dataclass; unknown keys and values out of range are errors.

    Every field is written ``name_unit: type = Field(default, gt=..., description="...")``. The description is what
    the command line and the schema of ``config.yaml`` show.
    """
    decorate: Callable[[type[T]], type[T]] = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    return decorate(cls)
