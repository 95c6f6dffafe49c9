"""Pages of lists: a page token marks where the next page begins, and is valid for one list only."""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from registry_server.domain import errors
from registry_server.domain.base import Page
from registry_server.domain.pages import MAX_LIMIT, Window

T = TypeVar("T")
# A position in a list has the bounds of its column: a forged token must not send more than 64 bits to an engine.
LogSequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Micros = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_SUM_BYTES = 8
# Far below the 64 MiB that a client accepts in one answer.
MAX_BYTES = 4 * 1024 * 1024
_STEP = 100


def window(limit: int, page_token: str | None, scope: tuple[Any, ...], place: Any) -> Window:
    """Return the window that a page request selects: its order, its size, and the entry after which it begins.

    `scope` identifies the list by its filters and its order; `place` is the type of the sort values in its page tokens.
    The checksum detects mistakes only: a client can forge a token with a valid checksum, but not with values of another
    type.

    Raises:
        NumberOutOfRange: the limit is too small or too large.
        PageTokenNotValid: the token is damaged or belongs to another list.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise errors.NumberOutOfRange("limit", limit, 1, MAX_LIMIT)
    if page_token is None:
        return Window(limit)
    try:
        raw = base64.b64decode(page_token.encode(), altchars=b"-_", validate=True)
        body, checksum = raw[:-_SUM_BYTES], raw[-_SUM_BYTES:]
        if checksum == _checksum(body, scope) and _encode(raw) == page_token:
            return Window(limit, msgspec.json.decode(body, type=place))
    except (ValueError, binascii.Error, UnicodeEncodeError, msgspec.MsgspecError):
        pass
    raise errors.PageTokenNotValid(page_token)


async def collect(
    fetch: Callable[[Window], Awaitable[Sequence[T]]],
    requested: Window,
    scope: tuple[Any, ...],
    key: Callable[[T], tuple[str | int, ...]],
) -> Page[T]:
    """Read one page; end the page early if its rows would exceed 4 MiB as JSON.

    `fetch` returns the rows of a window, and one more row if there is a next page. The function reads a hundred rows
    first, and then as many rows as will probably fit, because reading a whole page of large rows would be wasted work.
    """
    rows: list[T] = []
    size, step, after = 0, _STEP, requested.after
    while True:
        limit = min(requested.limit - len(rows), step)
        found = await fetch(Window(limit, after))
        for row in found[:limit]:
            size += len(msgspec.json.encode(row)) + 1
            if rows and size > MAX_BYTES:
                return _cut(rows, scope, key)
            rows.append(row)
        if len(found) <= limit:
            return Page(rows)
        if len(rows) == requested.limit:
            return _cut(rows, scope, key)
        after = key(rows[-1])
        step = max(1, (MAX_BYTES - size) * len(rows) // size)


def _cut(rows: list[T], scope: tuple[Any, ...], key: Callable[[T], tuple[str | int, ...]]) -> Page[T]:
    body = msgspec.json.encode(key(rows[-1]))
    return Page(rows, _encode(body + _checksum(body, scope)))


def _checksum(body: bytes, scope: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(body + b"\0" + msgspec.json.encode(scope)).digest()[:_SUM_BYTES]


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw, altchars=b"-_").decode()
