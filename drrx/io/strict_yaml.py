"""What a settings file may hold, looked at before anything reads it: plain YAML that means one thing.

Snakemake reads ``config.yaml`` by YAML 1.1 and YTE: of two equal keys the last wins, ``no`` is false, ``012`` is ten,
``1:30`` is ninety, and with the key ``__use_yte__`` values are Python that is run. None of that is passed on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from drrx.errors import DrrxError

MAX_BYTES, MAX_DEPTH = 2**20, 16
#: Plain words that YAML 1.1 takes for something else than most people do: pattern, what it would be, what to write.
_TRAPS = tuple(
    (re.compile(pattern, re.IGNORECASE), found, hint)
    for pattern, found, hint in (
        (r"yes|no|on|off", "a word that YAML takes for true or false", "Write true or false, or quote it."),
        (r"[-+]?0[0-9_]+(\.[0-9_]*)?", "a number with a leading zero", "Write it without the zero, or quote it."),
        (r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?", "digits that YAML takes for base 60", "Quote it."),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T].*)?", "a word that YAML takes for a date", "Quote it."),
        (r"=", "a sign that YAML keeps for itself", "Quote it."),
        (r"[-+]?\.inf|\.nan", "a number that is not finite", "Write a finite number."),
    )
)  # fmt: skip
_RESERVED = re.compile(r"[{}<>\x00-\x1f\x7f\u2028\u2029]")
_OPTIONS = ("--configfile", "--configfiles")


def check_yaml(path: Path) -> None:
    """Refuse a settings file that is not one plain YAML mapping of at most 1 MB; nothing in it is made or run.

    Raises
    ------
    DrrxError
        With the line: not readable, no YAML, two equal keys, an anchor, alias, tag or template, more than one document,
        no mapping, deep nesting, or a plain word with two meanings.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            _refuse(
                path, 1, f"{path.stat().st_size} bytes", f"at most {MAX_BYTES}", "Settings are short: is it the file?"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        _refuse(path, 1, getattr(error, "strerror", None) or str(error), "a readable UTF-8 file", "Check the path.")
    try:
        _check_events(path, yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        _refuse(path, line, error.problem or "no YAML", "YAML", "Mind indentation by spaces, and quotes that end.")
    except (yaml.YAMLError, RecursionError) as error:
        _refuse(path, 1, str(error).splitlines()[0], "YAML", "Write it as UTF-8 text.")


def check_config_options(options: Sequence[str]) -> None:
    """Check the files that options of Snakemake name as its settings (``--configfile A B``, ``--configfile=A``)."""
    taken = False
    for option in options:
        name, mark, value = option.partition("=")
        if option.startswith("-"):
            taken = name in _OPTIONS and not mark
            if name in _OPTIONS and mark:
                check_yaml(Path(value))
        elif taken:
            check_yaml(Path(option))


def check_texts(values: Mapping[str, Any], where: str) -> None:
    """Refuse settings whose texts hold what Snakemake would take for a place to fill in, or control characters.

    Raises
    ------
    DrrxError
        Names the first key with one of ``{ } < >`` or a control character.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            check_texts(value, f"{where}: {key}")
            continue
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str) and (bad := _RESERVED.search(text)):
                raise DrrxError(
                    where=f"{where}: {key}", found=f"{bad[0]!r} in {text[:80]!r}",
                    needed="text without { } < > and without line breaks or other control characters",
                    hint="Rename the file or folder, or name it through a link.",
                )  # fmt: skip


def _check_events(path: Path, events: Iterator[yaml.Event]) -> None:
    documents = 0
    open_parts: list[_Keys | None] = []  # a mapping's keys; none for a list
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(path, line, "a second document", "one", "Remove what follows the line ---.")
        elif isinstance(event, yaml.CollectionEndEvent):
            open_parts.pop()
        elif isinstance(event, yaml.NodeEvent):
            _check_node(path, line, event)
            _place(path, line, event, open_parts)


def _place(path: Path, line: int, event: yaml.NodeEvent, open_parts: list["_Keys | None"]) -> None:
    """Tell the mapping that a node stands in of it, and open the node if it holds others."""
    is_empty = isinstance(event, yaml.ScalarEvent) and not event.value
    if not open_parts and not isinstance(event, yaml.MappingStartEvent) and not is_empty:
        _refuse(path, line, "no mapping", "lines 'key: value'", "config.yaml of the project lists every key.")
    if open_parts and (keys := open_parts[-1]):
        keys.take(path, line, event)
    if isinstance(event, yaml.CollectionStartEvent):
        open_parts.append(_Keys() if isinstance(event, yaml.MappingStartEvent) else None)
        if len(open_parts) > MAX_DEPTH:
            _refuse(path, line, f"more than {MAX_DEPTH} levels", "sections of single values", "Flatten it.")


class _Keys:
    """The keys of one open mapping: key and value come by turns."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.is_key = True

    def take(self, path: Path, line: int, event: yaml.NodeEvent) -> None:
        is_key, self.is_key = self.is_key, not self.is_key
        if not is_key:
            return
        if not isinstance(event, yaml.ScalarEvent):
            _refuse(path, line, "a list or mapping as a key", "a word", "Write 'key: value'.")
        key = str(event.value)
        if key == "<<" or key.startswith(("__", "?")):
            _refuse(path, line, f"the key {key[:40]!r} of a template", "plain settings", "Write the values out.")
        if key in self.lines:
            _refuse(
                path, line, f"{key[:40]!r} again", f"each key once; it stands in line {self.lines[key]} already",
                "Remove one of them: the first would be forgotten.",
            )  # fmt: skip
        self.lines[key] = line


def _check_node(path: Path, line: int, event: yaml.NodeEvent) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor:
        _refuse(path, line, f"the anchor or alias {event.anchor[:40]!r}", "plain values", "Write the value out.")
    if event.tag is not None:
        _refuse(path, line, f"the tag {event.tag[:60]!r}", "plain values", "Remove it; quote what is text.")
    if isinstance(event, yaml.ScalarEvent) and event.style is None:
        for pattern, found, hint in _TRAPS:
            if pattern.fullmatch(event.value):
                _refuse(path, line, f"{event.value[:40]!r}, {found}", "a value with one meaning", hint)


def _refuse(path: Path, line: int, found: str, needed: str, hint: str) -> NoReturn:
    raise DrrxError(where=f"{path}, line {line}", found=found, needed=needed, hint=hint)
