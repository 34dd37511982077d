"""All kinds of odd input, in the order of the rows that they stand for."""

import re

from tests.battery import (
    archives,
    bombs,
    chests,
    codecs,
    enhanced,
    files,
    geometry,
    headers,
    links,
    nifti_files,
    objects,
    series,
    values,
)  # fmt: skip
from tests.battery.kind import Kind

MODULES = (
    series,
    geometry,
    headers,
    values,
    objects,
    enhanced,
    codecs,
    files,
    nifti_files,
    archives,
    bombs,
    links,
    chests,
)


def _row(kind: Kind) -> tuple[int, str]:
    number, letter = re.fullmatch(r"(\d+)(\w?)", kind.row).groups()  # type: ignore[union-attr]
    return int(number), letter


KINDS: list[Kind] = sorted((kind for module in MODULES for kind in module.GROUP.kinds), key=_row)
