"""What drrx makes of an input: the command, as a user runs it, then the stages that look at the anatomy."""

import argparse
import contextlib
import io
import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from drrx.anatomy.segment import segment_anatomy
from drrx.cli import read_ct
from drrx.errors import CaseRefused, DrrxError
from drrx.io.nifti import read_volume
from drrx.io.settings import ReadCtSettings
from drrx.records.case import CaseRecord
from drrx.volume import Volume
from tests.battery.kind import Built, Kind


@dataclass(frozen=True, eq=False)
class Answer:
    """The record of a case, its CT when it was not refused, the exit code, and all bytes that came out."""

    record: CaseRecord
    volume: Volume | None
    exit_code: int
    output: bytes
    files: tuple[str, ...]


def read(kind: Kind, built: Built, folder: Path) -> Answer:
    """Run ``drrx read-ct`` (and segment what it gives, where the kind says so); outputs go to ``folder``."""
    folder.mkdir()
    ct, record_file = folder / "ct.nii.gz", folder / "case.json"
    arguments = [str(built.path), "--output", str(ct), "--record", str(record_file), "--case", "x"]
    arguments += [] if built.series_uid is None else ["--series-uid", built.series_uid]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        exit_code = _run([*arguments, *_list_options(kind.settings)])
    record = CaseRecord.from_json(json.loads(record_file.read_text()))
    volume = read_volume(ct) if ct.exists() else None
    if volume is not None and kind.cuts is not None:
        try:
            flags = str(segment_anatomy(volume, kind.cuts).qc["flags"]).split()
            object.__setattr__(record, "flags", (*record.flags, *flags))
        except CaseRefused as error:
            record = record.refuse(error)
    files = sorted(folder.rglob("*"))
    output = said.getvalue().encode() + b"".join(file.read_bytes() for file in files if file.is_file())
    return Answer(record, volume, exit_code, output, tuple(file.name for file in files))


@cache
def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    read_ct.add_arguments(parser)
    return parser


def _run(arguments: list[str]) -> int:
    """Run ``drrx read-ct`` as ``drrx.cli.main`` does; what is no ``DrrxError`` comes through: it is a defect."""
    try:
        read_ct.run(_make_parser().parse_args(arguments))
    except DrrxError as error:
        print(error)
        return 1
    return 0


def _list_options(settings: ReadCtSettings) -> list[str]:
    """Return the options that differ from their defaults."""
    default = ReadCtSettings()
    options: list[str] = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(default, field.name):
            options += [f"--{field.name.replace('_', '-')}", str(value)]
    return options
