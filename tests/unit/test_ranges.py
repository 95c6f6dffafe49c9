"""Byte ranges as in RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_server.api.ranges import ByteRange, select_range

SIZES = st.integers(0, 50)
NUMBERS = st.integers(0, 60)


@given(SIZES, NUMBERS, NUMBERS | st.none())
def test_a_range_is_a_slice(size: int, first: int, last: int | None) -> None:
    """From the first to the last byte, both included, up to the end of the file."""
    whole = bytes(range(size))
    part = select_range(f"bytes={first}-{'' if last is None else last}", size)
    if last is not None and last < first:
        assert part == ByteRange(0, size)
    elif first >= size:
        assert part is None
    else:
        assert part is not None
        assert whole[part.start : part.start + part.length] == whole[first : None if last is None else last + 1]


@given(SIZES, st.integers(1, 60))
def test_a_suffix_range_is_the_end_of_the_file(size: int, length: int) -> None:
    """The last n bytes, or all."""
    part = select_range(f"bytes=-{length}", size)
    if size == 0:
        assert part is None
    else:
        assert part is not None
        assert bytes(range(size))[part.start :] == bytes(range(size))[-length:]


NONE = ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=1-0", "bytes= 0-1"]


@pytest.mark.parametrize("header", [None, *NONE, "bytes=0-1\n", "bytes=--1", "Bytes=0-1", "bytes=٠-١"])
def test_an_unsupported_range_returns_the_whole_file(header: str | None) -> None:
    """RFC 9110 allows a server to ignore a range."""
    assert select_range(header, 10) == ByteRange(0, 10)


def test_an_empty_file_has_no_range() -> None:
    """Not even its last byte; the whole empty file can be read."""
    assert select_range("bytes=0-", 0) is None
    assert select_range(None, 0) == ByteRange(0, 0)
