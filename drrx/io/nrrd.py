"""CTs stored as NRRD: ``.nrrd``, or ``.nhdr`` with a data file beside it."""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import (
    TextHeader,
    VoxelPlace,
    add_field,
    check_affine,
    parse_integers,
    parse_numbers,
    read_header_bytes,
    read_voxels,
    resolve_beside,
)
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
#: Units of the world's axes in mm; a field that is not there, or empty, means mm.
UNITS_MM = {
    "": 1.0, "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "centimeter": 10.0, "centimetre": 10.0,
    "m": 1e3, "meter": 1e3, "metre": 1e3, "um": 1e-3, "\u00b5m": 1e-3, "\u03bcm": 1e-3, "micrometer": 1e-3,
    "micrometre": 1e-3, "micron": 1e-3,
}  # fmt: skip
#: Kinds of axes along which a CT runs; others hold colours, vectors or time.
SPATIAL_KINDS = {"domain", "space", "none", "???"}
OTHER_ENCODINGS = ("ascii", "bz2", "bzip2", "hex", "text", "txt")
ONE_WORD_KEYS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
MAX_NUM_AXES = 16
VECTOR = r"\([^(),]+,[^(),]+,[^(),]+\)"


def read_nrrd(path: Path, settings: ReadCtSettings) -> Reading:
    """Read an NRRD (raw or gzip) with an anatomical space as LPS mm.

    Raises
    ------
    CaseRefused
        ``FILE_MISSING``, ``FILE_UNREADABLE``, ``BAD_HEADER``, ``CORRUPT_FILE``, ``NOT_3D``, ``TOO_LARGE``,
        ``PATH_ESCAPE``, ``NO_ORIENTATION``.
    """
    header = _read_header(path)
    fields = header.fields
    sizes = _read_sizes(path, fields, settings)
    kind = DTYPES.get(_need(path, fields, "type"))
    if kind is None:
        raise make_header_error(path, "an unknown type", "an 8-, 16- or 32-bit integer, float or double")
    endian = fields.get("endian", "little" if kind[1] == "1" else "").lower()
    if endian not in ("little", "big"):
        raise make_header_error(path, "no endian that is little or big", "the byte order of the voxels")
    affine, factors = _make_affine(path, fields, len(sizes))
    dtype = np.dtype((">" if endian == "big" else "<") + kind)
    place = _find_voxels(path, header)
    values = read_voxels(place, dtype, tuple(sizes[2::-1]), settings.max_compression)
    beside = None if place.path == path else place.path
    reading = Reading(Volume(values, affine), source={"format": "nrrd"}, data_file=beside)
    if set(factors) != {1.0}:
        told = ", ".join(f"{factor:g}" for factor in factors)
        reading.correct("UNITS_CONVERTED", f"spacing and place to mm, x, y, z times {told}")
    return reading


def _read_header(path: Path) -> TextHeader:
    data = read_header_bytes(path)
    if not re.match(rb"NRRD000\d\r?\n", data):
        raise make_header_error(path, "no NRRD magic", "an NRRD header")
    fields: dict[str, str] = {}
    start = data.find(b"\n") + 1
    while start < len(data):
        # The last line of a detached header may end with the file.
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = os.fsdecode(data[start:end]).strip()
        start = end + 1
        if not line:
            return TextHeader(fields, start)
        if not line.startswith("#") and ":=" not in line:
            key, sign, value = line.partition(":")
            if not sign:
                raise make_header_error(path, "a line without a colon", "lines like `dimension: 3`")
            key = key.strip().lower()
            add_field(path, fields, ONE_WORD_KEYS.get(key, key), value.strip())
    return TextHeader(fields, len(data))


def _need(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise make_header_error(path, f"no {name!r} field", f"a line `{name}: ...`")
    return fields[name]


def _read_sizes(path: Path, fields: dict[str, str], settings: ReadCtSettings) -> list[int]:
    """Return all sizes in the file's order: three that are a volume, then single ones."""
    sizes = parse_integers(path, _need(path, fields, "sizes"))
    (dimension,) = parse_integers(path, _need(path, fields, "dimension"), 1)
    if dimension != len(sizes) or dimension > MAX_NUM_AXES:
        raise make_header_error(path, f"{len(sizes)} sizes", "as many as `dimension` says")
    check_shape(path.name, sizes, settings)
    kinds = fields.get("kinds", "").lower().split()
    if kinds and (len(kinds) != len(sizes) or not set(kinds[:3]) <= SPATIAL_KINDS):
        raise CaseRefused(
            "NOT_3D", where=path.name, found="axes that do not run through space (kinds)",
            needed="kinds: domain domain domain", hint="Export the CT in HU: three axes, one value per voxel.",
        )  # fmt: skip
    return sizes


def _find_voxels(path: Path, header: TextHeader) -> VoxelPlace:
    fields = header.fields
    name = fields.get("data file", "")
    skips = [parse_integers(path, fields.get(key, "0"), 1)[0] for key in ("line skip", "byte skip")]
    if name.upper().startswith("LIST") or "%" in name or any(skips):
        raise make_header_error(path, "several data files or skipped lines", "one plain data file")
    encoding = _need(path, fields, "encoding").lower()
    if encoding not in ("raw", "gzip", "gz"):
        told = f"encoding {encoding}" if encoding in OTHER_ENCODINGS else "an unknown encoding"
        raise make_header_error(path, told, "raw or gzip")
    if name:
        return VoxelPlace(resolve_beside(path, name), 0, encoding != "raw")
    return VoxelPlace(path, header.data_start, encoding != "raw")


def _make_affine(
    path: Path, fields: dict[str, str], num_axes: int
) -> tuple[NDArray[np.float64], tuple[float, float, float]]:
    """Return the affine in LPS mm, and what x, y and z were multiplied by to become mm."""
    signs = SPACES.get(fields.get("space", "").lower())
    directions, origin = fields.get("space directions", "none"), fields.get("space origin", "")
    vectors = re.findall(rf"{VECTOR}|none", directions)
    if signs is None or not origin or not vectors or "none" in vectors[:3]:
        raise CaseRefused(
            "NO_ORIENTATION", where=path.name, found="no complete space of the body",
            needed="space (LPS, RAS or LAS), space directions and space origin",
            hint="Without them left and right cannot be told. Export the CT again with its orientation.",
        )  # fmt: skip
    if len(vectors) != num_axes or not re.fullmatch(rf"(({VECTOR}|none)(\s+|$))+", directions):
        raise make_header_error(path, f"{len(vectors)} space directions", f"{num_axes}, one per axis, like (1,0,0)")
    factors = _read_units(path, fields)
    affine = np.eye(4)
    # One column per file axis (column, row, slice); inside the order is reversed.
    columns = np.stack([_parse_vector(path, vector) for vector in vectors[:3]], axis=1)
    scale = np.array(signs) * np.array(factors)
    with np.errstate(over="ignore"):
        affine[:3, :3] = (scale[:, None] * columns)[:, ::-1]
        affine[:3, 3] = scale * _parse_vector(path, origin)
    return check_affine(path, affine), factors


def _parse_vector(path: Path, text: str) -> NDArray[np.float64]:
    if not re.fullmatch(VECTOR, text):
        raise make_header_error(path, "a vector that is none", "a vector like (1,0,0)")
    return parse_numbers(path, text[1:-1].replace(",", " "), 3)


def _read_units(path: Path, fields: dict[str, str]) -> tuple[float, float, float]:
    if "space units" not in fields:
        return (1.0, 1.0, 1.0)
    found = [UNITS_MM.get(unit.strip().lower()) for unit in re.findall(r'"([^"]*)"', fields["space units"])]
    if len(found) != 3 or None in found:
        raise make_header_error(path, "space units that are unknown", 'three units such as "mm"')
    first, second, third = (float(factor or 0) for factor in found)
    return first, second, third
