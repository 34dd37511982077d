"""CTs stored as MetaImage: ``.mha``, or ``.mhd`` with a data file beside it."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.attached import (
    MAX_MM,
    TextHeader,
    VoxelPlace,
    add_field,
    check_affine,
    parse_flag,
    parse_integers,
    parse_numbers,
    read_header_bytes,
    read_voxels,
    resolve_beside,
)
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
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}  # fmt: skip
MAX_NUM_AXES = 7
#: A direction is of length 1, as far as six decimals in a text tell.
UNIT_TOLERANCE = 1e-2
#: Cosine beyond which a file axis clearly runs along one axis of the world.
CLEAR_COSINE = 0.8
#: Letters of AnatomicalOrientation, by world axis: where a file axis begins that runs along it, or against it.
FROM_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


def read_metaimage(path: Path, settings: ReadCtSettings) -> Reading:
    """Read a MetaImage (raw or zlib) as LPS; MetaImage's world is LPS already.

    The flag ``ORIENTATION_CONFLICT`` marks an AnatomicalOrientation that says something else than the matrix, which
    is what counts.

    Raises
    ------
    CaseRefused
        ``FILE_MISSING``, ``FILE_UNREADABLE``, ``BAD_HEADER``, ``BAD_SPACING``, ``CORRUPT_FILE``, ``NOT_3D``,
        ``TOO_LARGE``, ``PATH_ESCAPE``.
    """
    header = _read_header(path)
    fields = header.fields
    (channels,) = parse_integers(path, fields.get("ElementNumberOfChannels", "1"), 1)
    file_sizes = parse_integers(path, _need(path, fields, "DimSize"))
    num_axes = len(file_sizes)
    if num_axes > MAX_NUM_AXES or parse_integers(path, fields.get("NDims", str(num_axes)), 1) != [num_axes]:
        raise make_header_error(path, f"{num_axes} sizes in DimSize", "as many as NDims says")
    sizes = check_shape(path.name, file_sizes, settings, channels)
    order = ">" if parse_flag(path, fields.get("BinaryDataByteOrderMSB", "False")) else "<"
    kind = DTYPES.get(_need(path, fields, "ElementType"))
    if kind is None:
        raise make_header_error(path, "an unknown ElementType", f"one of {', '.join(DTYPES)}")
    affine = _make_affine(path, fields, num_axes)
    place = _find_voxels(path, header)
    values = read_voxels(place, np.dtype(order + kind), tuple(sizes[::-1]), settings.max_compression)
    flags = [] if _is_orientation_true(fields.get("AnatomicalOrientation", ""), affine) else ["ORIENTATION_CONFLICT"]
    return Reading(
        Volume(values, affine), flags=flags, source={"format": "metaimage"},
        data_file=None if place.path == path else place.path,
    )  # fmt: skip


def _read_header(path: Path) -> TextHeader:
    data = read_header_bytes(path)
    fields: dict[str, str] = {}
    start = 0
    while (end := data.find(b"\n", start)) >= 0 and "ElementDataFile" not in fields:
        key, sign, value = os.fsdecode(data[start:end]).partition("=")
        start = end + 1
        if sign:
            add_field(path, fields, ALIASES.get(key.strip(), key.strip()), value.strip())
        elif key.strip():
            raise make_header_error(path, "a line without `=`", "lines like `NDims = 3`")
    if "ElementDataFile" not in fields or fields.get("ObjectType", "Image") != "Image":
        raise make_header_error(path, "no image with an ElementDataFile", "a MetaImage header of ObjectType Image")
    if not parse_flag(path, fields.get("BinaryData", "True")):
        raise make_header_error(path, "voxels written as text", "BinaryData = True")
    if fields["ElementDataFile"].upper().startswith("LIST") or "%" in fields["ElementDataFile"]:
        raise make_header_error(path, "a list of data files", "one data file")
    return TextHeader(fields, start)


def _need(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise make_header_error(path, f"no {name}", f"a line {name} = ...")
    return fields[name]


def _find_voxels(path: Path, header: TextHeader) -> VoxelPlace:
    fields = header.fields
    name = fields["ElementDataFile"]
    is_packed = parse_flag(path, fields.get("CompressedData", "False"))
    (num_packed,) = parse_integers(path, fields.get("CompressedDataSize", "0"), 1)
    if name.upper() == "LOCAL":
        return VoxelPlace(path, header.data_start, is_packed, num_packed)
    (skip,) = parse_integers(path, fields.get("HeaderSize", "0"), 1)
    if skip < -1 or (is_packed and skip < 0):
        raise make_header_error(path, f"HeaderSize {skip}", "0 or more, or -1 for raw voxels at the end")
    return VoxelPlace(resolve_beside(path, name), skip, is_packed, num_packed)


def _make_affine(path: Path, fields: dict[str, str], num_axes: int) -> NDArray[np.float64]:
    name = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    if name not in fields:
        raise CaseRefused(
            "BAD_SPACING", where=path.name, found="no ElementSpacing", needed="the size of a voxel in mm",
            hint="Add the line `ElementSpacing = x y z` if you know it; never guess.",
        )  # fmt: skip
    spacing = parse_numbers(path, fields[name], num_axes)[:3]
    offset = parse_numbers(path, fields.get("Offset", " 0" * num_axes), num_axes)[:3]
    identity = " ".join(str(int(number)) for number in np.eye(num_axes).ravel())
    numbers = parse_numbers(path, fields.get("TransformMatrix", identity), num_axes**2)
    if not ((spacing > 0) & (spacing <= MAX_MM)).all():
        raise CaseRefused(
            "BAD_SPACING", where=path.name, found=f"ElementSpacing {spacing.tolist()}", needed="numbers above zero",
            hint="Export the image again with its true spacing.",
        )  # fmt: skip
    # Each run of three numbers is the direction of one file axis (column, row, slice); inside the order is reversed.
    directions = numbers.reshape(num_axes, num_axes)[:3, :3].T
    lengths = np.hypot(np.hypot(*directions[:2]), directions[2])
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        raise make_header_error(path, f"TransformMatrix {directions.T.tolist()}", "directions of length 1")
    affine = np.eye(4)
    affine[:3, :3] = (directions * spacing)[:, ::-1]
    affine[:3, 3] = offset
    return check_affine(path, affine)


def _is_orientation_true(letters: str, affine: NDArray[np.float64]) -> bool:
    """Return whether three letters such as RAI name the sides that the file's axes begin at; others say nothing."""
    directions = affine[:3, 2::-1] / np.linalg.norm(affine[:3, 2::-1], axis=0)
    if len(letters) != 3 or not set(letters) <= set("RLAPIS") or np.abs(directions).max(axis=0).min() < CLEAR_COSINE:
        return True
    worlds = np.abs(directions).argmax(axis=0)
    wanted = [FROM_LETTERS[world][int(directions[world, axis] < 0)] for axis, world in enumerate(worlds)]
    return "".join(wanted) == letters
