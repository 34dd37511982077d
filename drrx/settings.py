"""How every stage declares its settings: a frozen dataclass that refuses bad values."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from drrx.errors import DrrxError

__all__ = ["Field", "make_settings", "settings"]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def settings(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, keyword-only dataclass; unknown keys and values out of range are errors.

    Every field is written ``name_unit: type = Field(default, gt=..., description="...")``. The description is what
    the command line and the schema of ``config.yaml`` show.
    """
    return cast("type[T]", dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls))


def make_settings(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build settings from ``values`` (other keys are ignored); a bad one is a ``DrrxError`` that names it."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    try:
        return cls(**{key: value for key, value in values.items() if key in names})
    except ValidationError as error:
        first = error.errors()[0]
        raise DrrxError(
            where=f"{where} {'.'.join(map(str, first['loc']))}", found=repr(first["input"]), needed=first["msg"],
            hint="See --help for units, range and default.",
        ) from error  # fmt: skip
