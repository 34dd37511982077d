"""All kinds of odd input, in the order of the rows that they stand for."""

import re

from tests.battery import archives, chests, codecs, files, geometry, headers, objects, series, values
from tests.battery.kind import Kind

GROUPS = [module.GROUP for module in (series, geometry, headers, values, objects, codecs, files, archives, chests)]


def _row(kind: Kind) -> tuple[int, str]:
    number, letter = re.fullmatch(r"(\d+)(\w?)", kind.row).groups()  # type: ignore[union-attr]
    return int(number), letter


KINDS: list[Kind] = sorted((kind for group in GROUPS for kind in group.kinds), key=_row)
