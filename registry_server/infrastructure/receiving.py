"""Bytes as they come in from the network: hashed and written in a thread while the next ones arrive."""

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

from registry_server.domain.errors import StorageUnavailable, TooLarge
from registry_server.threads import ended

CHUNK = 1024 * 1024


async def gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The same bytes in groups of about half a MiB: a hop to a thread for each packet would cost more than the work."""
    held: list[bytes] = []
    length = 0
    async for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= CHUNK // 2:
            yield held
            held, length = [], 0
    if held:
        yield held


async def receive(descriptor: int, digest: Any, groups: AsyncIterator[list[bytes]], most: int) -> int:
    """The number of bytes that came; they are in the file and in the digest, and nothing of them is durable yet.

    Raises:
        TooLarge: there are more than `most`.
        OSError: the disk is full or broken.
    """
    size = 0
    writing: asyncio.Future[None] | None = None
    loop = asyncio.get_running_loop()
    try:
        async for group in groups:
            size += sum(map(len, group))
            if size > most:
                raise TooLarge(
                    f"the body has more than {most} bytes",
                    remedy="send the bytes that were announced, or raise the limit by REGISTRY_SERVER_MAX_BLOB_BYTES",
                    field="body",
                    value=size,
                )
            if writing is not None:
                await asyncio.shield(writing)
            writing = loop.run_in_executor(None, keep, descriptor, digest, group)
    finally:
        if writing is not None:
            # Also when the client is gone, or the server stops: the file must not be closed under the thread.
            try:
                await ended(writing)
            finally:
                failed = writing.exception()
            if failed is not None:
                raise failed
    return size


def keep(descriptor: int, digest: Any, group: Sequence[bytes]) -> None:
    """Hash the bytes and write all of them; to join them first would copy each once more."""
    for chunk in group:
        digest.update(chunk)
        write_all(descriptor, chunk)


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write all of the bytes; the kernel may take fewer at once."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def hashed(descriptor: int, length: int, stop: threading.Event | None = None) -> Any:
    """Return the running digest of the first bytes of a file; of fewer, if it is stopped meanwhile."""
    digest, left = hashlib.sha256(), length
    while left and not (stop is not None and stop.is_set()) and (chunk := os.read(descriptor, min(left, CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest


def unavailable(error: OSError) -> StorageUnavailable:
    """The refusal of a disk that failed, of which nothing was kept."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return StorageUnavailable(
        "the disk is full" if full else f"the disk failed: {errno.errorcode.get(error.errno or 0, 'unknown error')}",
        remedy="nothing was kept; free space on the server and send it again"
        if full
        else "nothing was kept; try again",
        code="storage_full" if full else None,
    )
