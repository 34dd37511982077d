"""Edits of DICOM elements: another value, length, VR, none at all, twice, or a nest of sequences before it."""

import functools
import io
import struct
import warnings

import pydicom

from tests.battery.objects import nest
from tests.fuzz.edits import BYTES, INTEGERS, WORDS, Edit, Pick, choose, pack_float

LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV")
# What the geometry, the numbers and the pixels depend on: half of all edits go there.
KEY_TAGS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101, 0x00280102,
    0x00280103, 0x00281052, 0x00281053, 0x00200032, 0x00200037, 0x00020010, 0x00080016, 0x00080060, 0x0020000E,
    0x00080018, 0x7FE00010, 0x00200012, 0x00200013, 0x52009230, 0x52009229,
)  # fmt: skip


@functools.lru_cache(maxsize=256)
def find_elements(data: bytes) -> tuple[tuple[int, str, int, int], ...]:
    """Return ``(tag, VR, place of the value, length)`` of the top level's elements; explicit VR, little endian."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    found = []
    for part in (dataset.file_meta, dataset):
        for tag in part.keys():  # noqa: SIM118 # the values must stay raw
            raw = part.get_item(tag)
            if hasattr(raw, "value_tell") and raw.VR and raw.length < len(data):
                found.append((int(tag), raw.VR, raw.value_tell, raw.length))
    return tuple(found)


def edit_element(data: bytes, pick: Pick) -> bytes:
    """Change one element; files whose elements cannot be found get an edit of bytes."""
    try:
        elements = find_elements(data)
    except Exception:  # after an edit before this one
        elements = ()
    key = [element for element in elements if element[0] in KEY_TAGS]
    if not elements:
        return choose(pick, BYTES)(data, pick)
    _, vr, place, size = choose(pick, key if key and pick(2) else elements)
    width = 4 if vr in LONG else 2
    start = place - (12 if vr in LONG else 8)
    how = pick(6)
    if how == 0:
        return data[:start] + data[place + size :]
    if how == 1:
        return data[:start] + data[start : place + size] + data[start:]
    if how == 2:
        return data[:start] + nest(1 + pick(2000), bool(pick(2))) + data[start:]
    if how == 3:
        length = (choose(pick, INTEGERS) & (256**width - 1)).to_bytes(width, "little")
        return data[: place - width] + length + data[place:]
    if how == 4:
        return data[: start + 4] + choose(pick, (b"UN", b"SQ", b"OB", b"DS", b"IS", b"??", b"US")) + data[start + 6 :]
    value = _make_value(vr, data[place : place + size], pick)[: 256**width - 2]
    return data[: place - width] + len(value).to_bytes(width, "little") + value + data[place + size :]


def _make_value(vr: str, old: bytes, pick: Pick) -> bytes:
    if vr in ("US", "SS", "UL", "SL", "AT"):
        form = "<H" if vr in ("US", "SS") else "<I"
        value = choose(pick, INTEGERS) & (256 ** struct.calcsize(form) - 1)
        return struct.pack(form, value) * (1, 1, 1, 0, 3)[pick(5)]
    if vr in ("FD", "FL"):
        return pack_float("<d" if vr == "FD" else "<f", choose(pick, (0.0, -1.0, 1e30, float("nan"), float("inf"))))
    if vr in LONG:
        return choose(pick, BYTES)(old, pick)
    parts = old.rstrip(b"\0 ").split(b"\\")
    parts[pick(len(parts))] = choose(pick, WORDS)
    value = b"\\".join(parts[: 1 + pick(len(parts))] if not pick(4) else parts)
    return value + b" " * (len(value) % 2)


DICOM: tuple[Edit, ...] = (edit_element, edit_element, edit_element, *BYTES)
