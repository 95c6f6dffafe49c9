"""Responses with a file: the whole file, one range of it, or 304. Litestar's own file response supports no ranges.

Source: RFC 9110, sections 13.1.2 (If-None-Match), 13.1.5 (If-Range), 14.2 (Range).
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple

from litestar.status_codes import HTTP_200_OK, HTTP_206_PARTIAL_CONTENT, HTTP_304_NOT_MODIFIED
from litestar.types import Receive, Scope, Send

from registry_server.api import head_and_options
from registry_server.api.http import is_not_modified
from registry_server.core.ports import BlobStore
from registry_server.domain import errors
from registry_server.domain.artifacts import FileEntry
from registry_server.threads import run_in_thread, wait_until_done

_RANGE = re.compile(r"^bytes=([0-9]{0,18})-([0-9]{0,18})$(?!\n)")


class ByteRange(NamedTuple):
    """The position of the first byte of a response within the file, and the number of bytes."""

    start: int
    length: int


class FileResponse:
    """The ASGI application that sends a file, or the requested range of it.

    Raises:
        NoSuchRange: the file has no byte in the requested range.
    """

    def __init__(self, file: FileEntry, blobs: BlobStore, headers: Mapping[str, str]) -> None:
        self._file = file
        self._blobs = blobs
        self._etag = f'"{file.sha256}"'
        self._not_modified = is_not_modified(headers.get("if-none-match"), self._etag)
        # If-Range with another ETag: the client has part of another file, and needs the whole of this one.
        wanted = headers.get("range") if headers.get("if-range", self._etag) == self._etag else None
        part = ByteRange(0, 0) if self._not_modified else select_range(wanted, file.size)
        if part is None:
            raise errors.RangeNotSatisfiable(file.path, file.size, wanted)
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        size = self._file.size
        headers = {
            "etag": self._etag,
            "accept-ranges": "bytes",
            "cache-control": "private, immutable, max-age=31536000",
            "content-disposition": "attachment",
            "x-content-type-options": "nosniff",
        }
        part = self._part
        if self._not_modified:
            status = HTTP_304_NOT_MODIFIED
        else:
            status = HTTP_200_OK if part == (0, size) else HTTP_206_PARTIAL_CONTENT
            headers |= {"content-type": "application/octet-stream", "content-length": str(part.length)}
            if status == HTTP_206_PARTIAL_CONTENT:
                headers["content-range"] = f"bytes {part.start}-{part.start + part.length - 1}/{size}"
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        if part.length and head_and_options.OMIT_BODY not in scope:
            await self._send_bytes(part, receive, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_bytes(self, part: ByteRange, receive: Receive, send: Send) -> None:
        chunks = self._blobs.read_chunks(self._file.sha256, *part)
        reading = asyncio.ensure_future(run_in_thread(next, chunks, b""))
        # uvicorn silently drops bytes for a client that has disconnected: the whole file would be read for nothing.
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            while (chunk := await reading) and not disconnect.done():
                # The next chunk is read while this one is sent.
                reading = asyncio.ensure_future(run_in_thread(next, chunks, b""))
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            disconnect.cancel()
            # Wait for the thread and close the file, also when the client disconnects early.
            await wait_until_done(asyncio.gather(reading, disconnect, return_exceptions=True))
            chunks.close()


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


def select_range(wanted: str | None, size: int) -> ByteRange | None:
    """Return the range that a Range header selects from a file of `size` bytes, or None if it is outside the file.

    If the header is absent, malformed or of an unsupported kind, return the range of the whole file.

    >>> select_range("bytes=2-", 10), select_range("bytes=-3", 10)
    (ByteRange(start=2, length=8), ByteRange(start=7, length=3))
    >>> select_range("bytes=9-12", 10), select_range("bytes=10-", 10)
    (ByteRange(start=9, length=1), None)
    >>> select_range("bytes=0-1,4-5", 10)
    ByteRange(start=0, length=10)
    """
    match = _RANGE.match(wanted or "")
    if match is None or match[0] == "bytes=-":
        return ByteRange(0, size)
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return ByteRange(0, size)
    return ByteRange(start, end - start) if start < end else None
