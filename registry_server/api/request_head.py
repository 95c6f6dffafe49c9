"""Computes the size of a request's head, and how the request's body is framed."""

from collections.abc import Iterable
from typing import Final

Headers = Iterable[tuple[bytes, bytes]]
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def count_bytes(url: bytes, headers: Headers) -> int:
    """Count the bytes of the target and of all header lines."""
    return len(url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in headers)


def announces_body(headers: Headers) -> bool:
    """Return whether a body follows the head.

    >>> announces_body([(b"content-length", b"5")]), announces_body([(b"content-length", b"0")])
    (True, False)
    """
    return any(name in _FRAMING and value.strip() != b"0" for name, value in headers)


def has_other_coding(headers: Headers) -> bool:
    """Return whether the body has a transfer coding other than `chunked`; the parser would not decode it."""
    return any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in headers)
