"""Edits of bytes and of text. All chance comes from ``pick(n)``, a whole number below n: random or hypothesis's."""

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Sequence

Pick = Callable[[int], int]
Edit = Callable[[bytes, Pick], bytes]

WORDS = (
    b"0", b"-1", b"1", b"2", b"7", b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"1e-308", b"1e-5", b"1e5", b"",
    b"0.5", b" ", b"65535", b"65536", b"2147483648", b"4294967296", b"9223372036854775807", b"18446744073709551616",
    b"9" * 400, b"1_0", b"0x10", b"\xef\xbc\x91", b"none", b"LIST", b"%d", b"../x", b"/etc/passwd", b"\x00",
    b"\xff\xfe", b"'", b'"', b"a" * 300, b"\\", b"#", b":", b"=", b"\n", b"\r\n", b"&a [*a]", b"!!python/object:x",
    b"no", b"012", b"1:30", b"~", b"{a: b}",
)  # fmt: skip
INTEGERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    255,
    256,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-30,
    1e30,
    -1e30,
    3.4e38,
    1e-45,
    float("nan"),
    float("inf"),
    -float("inf"),
    352.0,
)


def choose(pick: Pick, items: Sequence):
    return items[pick(len(items))]


def apply_edits(data: bytes, edits: Sequence[Edit], pick: Pick) -> bytes:
    """Return the bytes after one edit or a few."""
    for _ in range(choose(pick, (1, 1, 1, 2, 3))):
        data = choose(pick, edits)(data, pick)
    return data


# ---- bytes


def flip_bit(data: bytes, pick: Pick) -> bytes:
    place = pick(max(1, len(data)))
    return data[:place] + bytes(byte ^ (1 << pick(8)) for byte in data[place : place + 1]) + data[place + 1 :]


def cut(data: bytes, pick: Pick) -> bytes:
    return data[: pick(len(data) + 1)]


def insert(data: bytes, pick: Pick) -> bytes:
    place = pick(len(data) + 1)
    return data[:place] + bytes(pick(256) for _ in range(1 + pick(8))) + data[place:]


def remove(data: bytes, pick: Pick) -> bytes:
    place = pick(len(data) + 1)
    return data[:place] + data[place + 1 + pick(16) :]


def repeat(data: bytes, pick: Pick) -> bytes:
    place = pick(len(data) + 1)
    return data[:place] + data[place : place + 1 + pick(64)] * (1 + pick(8)) + data[place:]


def put_integer(data: bytes, pick: Pick) -> bytes:
    form = choose(pick, ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    value = choose(pick, INTEGERS) & (256 ** struct.calcsize(form) - 1)
    return _put(data, pick, struct.pack(form, value))


def put_float(data: bytes, pick: Pick) -> bytes:
    return _put(data, pick, pack_float(choose(pick, ("<f", ">f", "<d")), choose(pick, FLOATS)))


def pack_float(form: str, value: float) -> bytes:
    try:
        return struct.pack(form, value)
    except OverflowError:
        return struct.pack(form, float("inf"))


def _put(data: bytes, pick: Pick, new: bytes) -> bytes:
    # Headers come first: half of all edits go there.
    place = pick(max(1, min(len(data), 400))) if pick(2) else pick(max(1, len(data)))
    return data[:place] + new + data[place + len(new) :]


BYTES: tuple[Edit, ...] = (flip_bit, cut, insert, remove, repeat, put_integer, put_float)


# ---- text


def put_number(data: bytes, pick: Pick) -> bytes:
    """Put an odd word in the place of a number."""
    found = list(re.finditer(rb"[-+]?[0-9][-+.0-9e]*", data[:4096]))
    if not found:
        return insert(data, pick)
    match = choose(pick, found)
    return data[: match.start()] + choose(pick, WORDS) + data[match.end() :]


def put_word(data: bytes, pick: Pick) -> bytes:
    """Put an odd word in the place of another."""
    found = list(re.finditer(rb"[^\s,;:=]+", data[:4096]))
    if not found:
        return insert(data, pick)
    match = choose(pick, found)
    return data[: match.start()] + choose(pick, WORDS) + data[match.end() :]


def change_lines(data: bytes, pick: Pick) -> bytes:
    """Take a line out, write it twice, or move it."""
    head, tail = data[:4096], data[4096:]
    lines = head.split(b"\n")
    line = lines.pop(pick(len(lines)))
    how = pick(3)
    for _ in range((0, 2, 1)[how]):
        lines.insert(pick(len(lines) + 1), line)
    return b"\n".join(lines) + tail


TEXT: tuple[Edit, ...] = (put_number, put_number, put_word, change_lines, flip_bit, cut, insert, remove, repeat)


# ---- inside of other things


def inside_gzip(edits: Sequence[Edit]) -> Edit:
    """Return an edit of what is packed; now and then of the packed bytes."""

    def edit(data: bytes, pick: Pick) -> bytes:
        try:
            inner = zlib.decompress(data, 47) if pick(5) else None
        except zlib.error:
            inner = None
        if inner is None:
            return choose(pick, BYTES)(data, pick)
        return gzip.compress(choose(pick, edits)(inner, pick), 1)

    return edit


def make_field_edit(fields: Sequence[tuple[int, str]]) -> Edit:
    """Return an edit of fields at known places: ``(offset, struct format)``, little endian."""

    def edit(data: bytes, pick: Pick) -> bytes:
        offset, form = choose(pick, fields)
        size = struct.calcsize("<" + form)
        if form in "fd":
            new = pack_float("<" + form, choose(pick, FLOATS))
        else:
            new = (choose(pick, INTEGERS) & (256**size - 1)).to_bytes(size, "little")
        return data[:offset] + new + data[offset + size :]

    return edit


NIFTI_1 = make_field_edit(
    [(0, "i"), *((40 + 2 * n, "h") for n in range(8)), (70, "h"), (72, "h"), *((76 + 4 * n, "f") for n in range(8)),
     (108, "f"), (112, "f"), (116, "f"), (123, "b"), (252, "h"), (254, "h"), *((256 + 4 * n, "f") for n in range(18)),
     (344, "i"), (348, "i")]
)  # fmt: skip
NIFTI_2 = make_field_edit(
    [(0, "i"), (4, "q"), (12, "h"), (14, "h"), *((16 + 8 * n, "q") for n in range(8)),
     *((104 + 8 * n, "d") for n in range(8)), (168, "q"), (176, "d"), (184, "d"), (344, "i"), (348, "i"),
     *((352 + 8 * n, "d") for n in range(18)), (500, "i"), (540, "i")]
)  # fmt: skip


def edit_png(data: bytes, pick: Pick) -> bytes:
    """Change a chunk of a PNG and mend its checksum, so that the decoder gets to see it."""
    places, place = [], 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        places.append((place, size))
        place += 12 + size
    if not places:
        return flip_bit(data, pick)
    start, size = choose(pick, places)
    kind = data[start + 4 : start + 8]
    body = choose(pick, BYTES)(data[start + 8 : start + 8 + size], pick)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:start] + chunk + data[start + 12 + size :]


def edit_safetensors(data: bytes, pick: Pick) -> bytes:
    """Change the JSON header and mend its length."""
    size = int.from_bytes(data[:8], "little")
    header = choose(pick, TEXT)(data[8 : 8 + size], pick)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def edit_member_name(data: bytes, pick: Pick) -> bytes:
    """Put another folder of the same length before the names in an archive: everywhere, or at one place."""
    new = choose(
        pick,
        (b"../../", b"/tmp/a", b"..\\..\\", b"C:\\abc", b"serie\0", b"a/b/c/", b"./././", b"\xff\xfe\xfd\xfc\xfb\xfa"),
    )
    place = pick(max(1, data.count(b"series/")))
    return data.replace(b"series", new) if pick(2) else new.join(_split_at(data, b"series", place))


def _split_at(data: bytes, word: bytes, number: int) -> tuple[bytes, ...]:
    parts = data.split(word)
    return (word.join(parts[: number + 1]), word.join(parts[number + 1 :])) if len(parts) > 1 else (data,)
