"""Command-line options made from settings dataclasses, so that names and defaults cannot drift."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any

from drrx.settings import make_settings

__all__ = ["add_settings", "make_settings"]


def add_settings(parser: argparse.ArgumentParser, cls: type, only: Iterable[str] | None = None) -> None:
    """Add one ``--option-name`` per field of a settings dataclass; ``only`` names the fields to offer."""
    hints = typing.get_type_hints(cls)
    names = None if only is None else set(only)
    for field in dataclasses.fields(cls):
        if names is None or field.name in names:
            info: Any = field.default  # pydantic's FieldInfo
            _add_option(parser, field.name, hints[field.name], info.get_default(), info.description or "")


def _add_option(parser: argparse.ArgumentParser, name: str, hint: Any, default: Any, text: str) -> None:
    flag, shown = "--" + name.replace("_", "-"), "none" if default is None else default
    help_text = f"{text} (default: {shown})".replace("%", "%%")
    origin = typing.get_origin(hint)
    # Absent options stay absent, so that make_settings takes the default from the dataclass, its only home.
    kind: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": help_text}
    if hint is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **kind)
    elif origin is typing.Literal:
        parser.add_argument(flag, choices=typing.get_args(hint), **kind)
    elif origin is tuple:
        parser.add_argument(flag, nargs="+", **kind)
    elif origin is dict:
        parser.add_argument(flag, type=_mapping, metavar="KEY=VALUE,...", **kind)
    else:
        options = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
        metavar = {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(options[0], "VALUE")
        parser.add_argument(flag, metavar=metavar, **kind)


def _mapping(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))
