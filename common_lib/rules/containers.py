"""Readers that list the contents of ZIP archives and protobuf messages without unpacking them."""

import struct
from collections.abc import Iterator
from typing import Final

_BOMB_RATIO: Final = 100
_BOMB_FLOOR: Final = 64 * 2**20
# Number of bytes of a value, by its wire type.
_FIXED: Final = {1: 8, 5: 4}
_NOT_PROTOBUF: Final = "the bytes are not a protobuf message"


def zip_names(content: bytes) -> frozenset[str] | None:
    """Return the names of the files in a plain ZIP archive, or None for any other content.

    A plain archive fills the whole content. None is returned for archives that programs read differently (encrypted,
    with a comment, with a name twice, or with another name in a local header), for archives above 4 GiB, and for those
    that would fill the memory.
    """
    if not content.startswith(b"PK\x03\x04") or content[-22:-18] != b"PK\x05\x06":
        return None
    *disks, here, total, size, start, comment = struct.unpack("<4xHHHHIIH", content[-22:])
    if any(disks) or here != total or comment or start + size != len(content) - 22:
        return None
    names: set[str] = set()
    unpacked, place = 0, start
    for _ in range(total):
        entry = _zip_entry(content, place)
        if entry is None or entry[0] in names:
            return None
        name, length, place = entry
        names.add(name)
        unpacked += length
    fits = unpacked <= max(_BOMB_FLOOR, _BOMB_RATIO * len(content))
    return frozenset(names) if place == len(content) - 22 and fits else None


def _zip_entry(content: bytes, place: int) -> tuple[str, int, int] | None:
    """Return the name and unpacked size of a file in a ZIP archive, and the position of the next directory entry."""
    if content[place : place + 4] != b"PK\x01\x02" or place + 46 > len(content):
        return None
    flags, unpacked, name_size, extra, comment, local = struct.unpack_from("<8xH14xIHHH8xI", content, place)
    raw = content[place + 46 : place + 46 + name_size]
    # The local header repeats the name; readers that use it must find the same file.
    same = content[local : local + 4] == b"PK\x03\x04" and content[local + 30 : local + 30 + name_size] == raw
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if flags & 1 or not same or not name:
        return None
    return name, unpacked, place + 46 + name_size + extra + comment


def protobuf_fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, bool]]:
    """Yield each field of a protobuf message: number, wire type, start, end, and False if it is empty or zero.

    Raises:
        ValueError: the bytes are not a protobuf message.
    """
    while start < end:
        tag, begin = _varint(content, start, end)
        wire = tag & 7
        if wire == 0:
            # The number itself: like a length, it is 0 in an empty field.
            length, start = _varint(content, begin, end)
        else:
            length = _FIXED.get(wire, -1)
            if wire == 2:  # noqa: PLR2004 - length-delimited
                length, begin = _varint(content, begin, end)
            start = begin + length
        if tag < 8 or not begin <= start <= end:  # noqa: PLR2004 - no field has the number 0
            raise ValueError(_NOT_PROTOBUF)
        yield tag >> 3, wire, begin, start, length > 0


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """Return a varint and the position after it; the position is beyond `end` if the varint is incomplete."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, place
    return 0, end + 1
