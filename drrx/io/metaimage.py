"""CTs stored as MetaImage: ``.mha``, or ``.mhd`` with a data file beside it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import TextHeader, inflate, parse_numbers, read_header_bytes, read_raw, resolve_beside
from drrx.io.reading import Reading, check_shape, make_header_error
from drrx.io.settings import ReadCtSettings
from drrx.volume import Volume

DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
# Other names that the format knows for the same field.
ALIASES = {
    "Position": "Offset", "Origin": "Offset", "Rotation": "TransformMatrix", "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB", "ElementSize": "ElementSpacing",
}  # fmt: skip


def read_metaimage(path: Path, settings: ReadCtSettings) -> Reading:
    """Read a MetaImage (raw or zlib) as LPS; MetaImage's world is LPS already.

    Raises
    ------
    CaseRefused
        ``BAD_HEADER``, ``CORRUPT_FILE``, ``NOT_3D``, ``TOO_LARGE``, ``PATH_ESCAPE``.
    """
    header = _read_header(path)
    fields = header.fields
    channels = int(parse_numbers(path, fields.get("ElementNumberOfChannels", "1"), 1)[0])
    sizes = check_shape(path.name, parse_numbers(path, _need(path, fields, "DimSize")).astype(int).tolist(), settings,
                        channels)  # fmt: skip
    order = ">" if fields.get("BinaryDataByteOrderMSB", "False").lower() == "true" else "<"
    kind = DTYPES.get(_need(path, fields, "ElementType"))
    if kind is None:
        raise make_header_error(path, f"ElementType {fields['ElementType']}", f"one of {', '.join(DTYPES)}")
    dtype, shape = np.dtype(order + kind), tuple(sizes[::-1])
    name = fields["ElementDataFile"]
    data_path = path if name.upper() == "LOCAL" else resolve_beside(path, name)
    skip = header.data_start if data_path == path else _read_skip(path, fields, data_path, dtype, shape)
    compressed = fields.get("CompressedData", "False").lower() == "true"
    values = (inflate if compressed else read_raw)(data_path, skip, dtype, shape)
    # int16 holds HU; bytes and doubles are brought to types that the rest knows.
    values = values.astype(np.float32) if kind == "f8" else values
    return Reading(Volume(values, _make_affine(path, fields)), source={"format": "metaimage"})


def _read_header(path: Path) -> TextHeader:
    data = read_header_bytes(path)
    fields: dict[str, str] = {}
    start = 0
    while (end := data.find(b"\n", start)) >= 0 and "ElementDataFile" not in fields:
        line = data[start:end].decode("latin-1")
        start = end + 1
        key, sign, value = line.partition("=")
        if not sign and line.strip():
            raise make_header_error(path, f"the line {line[:60]!r}", "lines like `NDims = 3`")
        fields[ALIASES.get(key.strip(), key.strip())] = value.strip()
    if "ElementDataFile" not in fields:
        raise make_header_error(path, "no ElementDataFile", "a MetaImage header")
    if fields["ElementDataFile"].upper().startswith("LIST") or "%" in fields["ElementDataFile"]:
        raise make_header_error(path, "a list of data files", "one data file")
    return TextHeader(fields, start)


def _need(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise make_header_error(path, f"no {name}", f"a line {name} = ...")
    return fields[name]


def _read_skip(
    path: Path, fields: dict[str, str], data: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> int:
    skip = int(parse_numbers(path, fields.get("HeaderSize", "0"), 1)[0])
    if skip >= 0:
        return skip
    return max(0, data.stat().st_size - int(np.prod(shape, dtype=object)) * dtype.itemsize)


def _make_affine(path: Path, fields: dict[str, str]) -> NDArray[np.float64]:
    if "ElementSpacing" not in fields:
        raise CaseRefused(
            "BAD_SPACING", where=path.name, found="no ElementSpacing", needed="the size of a voxel in mm",
            hint="Add the line `ElementSpacing = x y z` if you know it; never guess.",
        )  # fmt: skip
    spacing = parse_numbers(path, fields["ElementSpacing"])[:3]
    offset = parse_numbers(path, fields.get("Offset", "0 0 0"))[:3]
    numbers = parse_numbers(path, fields.get("TransformMatrix", "1 0 0 0 1 0 0 0 1"))
    side = round(np.sqrt(len(numbers)))
    if side < 3 or side**2 != len(numbers) or len(spacing) < 3 or len(offset) < 3:
        raise make_header_error(path, "a direction, spacing or offset of the wrong length", "three axes each")
    if (spacing <= 0).any():
        raise CaseRefused(
            "BAD_SPACING", where=path.name, found=f"ElementSpacing {spacing.tolist()}", needed="numbers above zero",
            hint="Export the image again with its true spacing.",
        )  # fmt: skip
    # Each run of three numbers is the direction of one file axis (column, row, slice); inside the order is reversed.
    directions = numbers.reshape(side, side)[:3, :3].T
    affine = np.eye(4)
    affine[:3, :3] = (directions * spacing)[:, ::-1]
    affine[:3, 3] = offset
    return affine
