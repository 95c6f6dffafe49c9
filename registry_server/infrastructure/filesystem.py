"""Blobs as files: `blobs/sha256/ab/abcd…`, written once, published whole and durable or not at all."""

import asyncio
import errno
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from registry_server.domain.errors import ContentRefused, NotFound, StorageUnavailable, TooLarge

_CHUNK = 1024 * 1024


class FilesystemBlobs:
    """A folder of blobs.

    ```
    root/staging/<random>         being received; 0600; removed when the server starts
    root/sha256/ab/abcd…          published: the name is the SHA-256 of the bytes
    ```
    """

    def __init__(self, root: Path) -> None:
        self._blobs = root / "sha256"
        self._staging = root / "staging"

    def open_store(self) -> None:
        """Make the folders and clear what an earlier end left in staging."""
        self._blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._staging.mkdir(exist_ok=True, mode=0o700)
        if self._staging.is_symlink():
            raise StorageUnavailable(
                f"{self._staging} is a symbolic link",
                remedy="make it a folder of its own: what is in it is removed at each start",
            )
        for left in self._staging.iterdir():
            if left.is_symlink() or not left.is_dir():
                left.unlink()
        _sync_folder(self._blobs.parent)

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Receive, check, publish: fsync of the file, link without clobber, fsync of the folder.

        Raises:
            ContentRefused: the bytes have another digest.
            TooLarge: there are more than `limit` bytes.
            StorageUnavailable: the disk is full or broken.
        """
        staged = self._staging / uuid.uuid4().hex
        try:
            size = await self._receive(staged, sha256, chunks, limit)
            await asyncio.to_thread(self._publish, staged, sha256)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            staged.unlink(missing_ok=True)
        return size

    async def holds(self, sha256: str, size: int) -> bool:
        try:
            return self._path(sha256).stat().st_size == size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable(error) from error

    async def open(self, sha256: str) -> tuple[int, Iterable[bytes]]:
        """The size of a blob and its bytes in chunks of 1 MiB."""
        try:
            size = self._path(sha256).stat().st_size
        except FileNotFoundError:
            raise NotFound(
                f"the bytes of blob {sha256} are gone",
                remedy="restore them from a backup: a version names them",
                field="sha256",
                value=sha256,
                code="blob_not_found",
            ) from None
        except OSError as error:
            raise _unavailable(error) from error

        def chunks() -> Iterator[bytes]:
            # Opened here, so that nothing stays open for a client that leaves before the first chunk.
            with self._path(sha256).open("rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk

        return size, chunks()

    def _path(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256

    async def _receive(self, staged: Path, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:

            def keep(chunk: bytes) -> None:
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) or 0 :]

            async for chunk in _gathered(chunks):
                size += len(chunk)
                if size > limit:
                    raise TooLarge(
                        f"the body has more than {limit} bytes",
                        remedy="split the file, or raise max_blob_bytes of the server",
                        field="body",
                        value=size,
                    )
                await asyncio.to_thread(keep, chunk)
            if digest.hexdigest() != sha256:
                raise ContentRefused(
                    f"the {size} bytes received have the digest {digest.hexdigest()}",
                    remedy="send the bytes that have the digest in the address; nothing was kept",
                    field="sha256",
                    value=sha256,
                    code="digest_mismatch",
                )
            await asyncio.to_thread(os.fsync, file.fileno())
        return size

    def _publish(self, staged: Path, sha256: str) -> None:
        final = self._path(sha256)
        final.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            final.hardlink_to(staged)
        except FileExistsError:
            with final.open("rb") as file:
                sound = hashlib.file_digest(file, "sha256").hexdigest() == sha256
                # Whoever published it may have died before its fsync; ours must not rely on it.
                os.fsync(file.fileno())
            if not sound:
                staged.replace(final)
        _sync_folder(final.parent)
        _sync_folder(self._blobs)


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about 1 MiB: a hop to a thread for each packet would cost more than the work."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(error: OSError) -> StorageUnavailable:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return StorageUnavailable(
        "the disk is full" if full else f"the disk failed: {errno.errorcode.get(error.errno or 0, 'unknown error')}",
        remedy="nothing was kept; free space on the server and send it again"
        if full
        else "nothing was kept; try again",
        code="storage_full" if full else None,
    )
