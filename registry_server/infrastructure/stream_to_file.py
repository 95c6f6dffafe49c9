"""Writes a stream to a file: a thread hashes and writes some chunks while the next chunks arrive from the network."""

import asyncio
import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from registry_server.domain import errors
from registry_server.threads import wait_until_done

CHUNK = 1024 * 1024


async def group_chunks(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield the chunks in groups of about 0.5 MiB, because a call to a thread for each packet would be expensive."""
    group: list[bytes] = []
    length = 0
    async for chunk in chunks:
        group.append(chunk)
        length += len(chunk)
        if length >= CHUNK // 2:
            yield group
            group, length = [], 0
    if group:
        yield group


async def write_stream(descriptor: int, digest: Any, groups: AsyncIterator[list[bytes]], limit: int) -> int:
    """Write and hash all groups, and return the number of written bytes, which are not durable yet.

    Raises:
        BlobTooLarge: there are more than `limit` bytes.
        OSError: the disk is full or broken.
    """
    size = 0
    writing: asyncio.Future[None] | None = None
    loop = asyncio.get_running_loop()
    try:
        async for group in groups:
            size += sum(map(len, group))
            if size > limit:
                raise errors.BlobTooLarge("body", size, limit)
            if writing is not None:
                await asyncio.shield(writing)
            writing = loop.run_in_executor(None, _hash_and_write, descriptor, digest, group)
    finally:
        if writing is not None:
            # Done even after a disconnect or at a shutdown: the caller must not close the file while the thread writes.
            try:
                await wait_until_done(writing)
            finally:
                failed = writing.exception()
            if failed is not None:
                raise failed
    return size


def _hash_and_write(descriptor: int, digest: Any, group: Sequence[bytes]) -> None:
    """Hash and write the chunks one by one, because joining them first would copy every byte once more."""
    for chunk in group:
        digest.update(chunk)
        write_all(descriptor, chunk)


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write the whole chunk; one system call may write only a part of it."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def hash_file(descriptor: int, length: int, stop: threading.Event | None = None) -> Any:
    """Return the running digest of the first `length` bytes; stop early if `stop` is set."""
    digest, left = hashlib.sha256(), length
    while left and not (stop is not None and stop.is_set()) and (chunk := os.read(descriptor, min(left, CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest


@contextlib.contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Translate errors of the disk to StorageUnavailable."""
    try:
        yield
    except OSError as error:
        raise disk_failure(error) from error


def disk_failure(error: OSError) -> errors.StorageUnavailable:
    """Build the error for a full or broken disk, which says that nothing of the request was stored."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return errors.StorageFull()
    return errors.DiskFailed(errno.errorcode.get(error.errno or 0, "unknown error"))
