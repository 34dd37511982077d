"""CTs stored as NRRD: ``.nrrd``, or ``.nhdr`` with a data file beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import TextHeader, inflate, parse_numbers, read_header_bytes, read_raw, resolve_beside
from drrx.io.reading import Reading, check_shape, make_header_error
from drrx.io.settings import ReadCtSettings
from drrx.volume import Volume

_NAMES = {
    "i1": ("signed char", "int8", "int8_t"), "u1": ("unsigned char", "uchar", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",), "f8": ("double",),
}  # fmt: skip
DTYPES = {name: kind for kind, names in _NAMES.items() for name in names}
# World axes of the file in LPS.
SPACES = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip


def read_nrrd(path: Path, settings: ReadCtSettings) -> Reading:
    """Read an NRRD (raw or gzip) with an anatomical space as LPS.

    Raises
    ------
    CaseRefused
        ``BAD_HEADER``, ``CORRUPT_FILE``, ``NOT_3D``, ``TOO_LARGE``, ``PATH_ESCAPE``, ``NO_ORIENTATION``.
    """
    header = _read_header(path)
    fields = header.fields
    sizes = check_shape(path.name, parse_numbers(path, _need(path, fields, "sizes")).astype(int).tolist(), settings)
    kind = DTYPES.get(_need(path, fields, "type"))
    if kind is None:
        raise make_header_error(path, f"type {fields['type']}", "an 8-, 16- or 32-bit integer, float or double")
    order = ">" if fields.get("endian", "little") == "big" else "<"
    affine = _make_affine(path, fields)
    values = _read_values(path, header, np.dtype(order + kind), tuple(sizes[::-1]))
    values = values.astype(np.float32) if kind == "f8" else values
    return Reading(Volume(values, affine), source={"format": "nrrd"})


def _read_header(path: Path) -> TextHeader:
    data = read_header_bytes(path)
    if not data.startswith(b"NRRD"):
        raise make_header_error(path, "no NRRD magic", "an NRRD header")
    fields: dict[str, str] = {}
    start = data.find(b"\n") + 1
    while (end := data.find(b"\n", start)) >= 0:
        line = data[start:end].decode("latin-1").strip()
        start = end + 1
        if not line:
            return TextHeader(fields, start)
        if not line.startswith("#") and ":=" not in line:
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace("datafile", "data file")] = value.strip()
    return TextHeader(fields, len(data))  # a detached header may end without an empty line


def _need(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise make_header_error(path, f"no {name!r} field", f"a line `{name}: ...`")
    return fields[name]


def _read_values(path: Path, header: TextHeader, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    fields = header.fields
    name = fields.get("data file", "")
    skips = [int(parse_numbers(path, fields.get(key, "0"), 1)[0]) for key in ("line skip", "byte skip")]
    if name.upper().startswith("LIST") or "%" in name or any(skips):
        raise make_header_error(path, "several data files or skipped lines", "one plain data file")
    data_path, skip = (resolve_beside(path, name), 0) if name else (path, header.data_start)
    encoding = _need(path, fields, "encoding").lower()
    if encoding == "raw":
        return read_raw(data_path, skip, dtype, shape)
    if encoding in ("gzip", "gz"):
        return inflate(data_path, skip, dtype, shape)
    raise make_header_error(path, f"encoding {encoding}", "raw or gzip")


def _make_affine(path: Path, fields: dict[str, str]) -> NDArray[np.float64]:
    signs = SPACES.get(fields.get("space", "").lower())
    directions, origin = fields.get("space directions"), fields.get("space origin")
    if signs is None or directions is None or origin is None or "none" in directions:
        raise CaseRefused(
            "NO_ORIENTATION", where=path.name, found=f"space {fields.get('space', 'not given')!r}",
            needed="space (LPS, RAS or LAS), space directions and space origin",
            hint="Without them left and right cannot be told. Export the CT again with its orientation.",
        )  # fmt: skip
    affine = np.eye(4)
    columns = parse_numbers(path, directions, 9).reshape(3, 3).T  # one column per file axis (column, row, slice)
    affine[:3, :3] = (np.array(signs)[:, None] * columns)[:, ::-1]
    affine[:3, 3] = signs * parse_numbers(path, origin, 3)
    if abs(np.linalg.det(affine)) < 1e-9:
        raise CaseRefused(
            "BAD_SPACING", where=path.name, found=f"space directions {directions}", needed="three different axes",
            hint="Export the image again with its true spacing.",
        )  # fmt: skip
    return affine
