"""The blob store in a folder: writes received bytes to staging or uploads, checks their digest, and publishes them."""

import asyncio
import contextlib
import hashlib
import os
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from registry_server.domain import errors
from registry_server.infrastructure import durable_blobs
from registry_server.infrastructure.durable_blobs import DurableBlobs
from registry_server.infrastructure.stream_to_file import (
    group_chunks,
    hash_file,
    translate_disk_errors,
    write_all,
    write_stream,
)
from registry_server.threads import run_in_thread

T = TypeVar("T")


class FilesystemBlobs(DurableBlobs):
    """A folder that receives blobs and stores them.

    ```
    root/staging/<random>               bytes of one request; mode 0600; removed when the server starts
    root/uploads/<principal>.<sha256>   upload in parts; mode 0600; survives a restart, until the upload expires
    ```
    """

    def __init__(
        self,
        root: Path,
        *,
        medium_fault: Callable[[], str] = lambda: "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Use the folder `root`; `medium_fault` returns why it is the wrong folder, or "" if it is right."""
        super().__init__(root, sleep=sleep)
        self._medium_fault = medium_fault
        self._staging = root / "staging"
        self._uploads = root / "uploads"
        # Received length and running digest of each upload, which spares the hashing of earlier parts. After a restart
        # they are read again.
        self._upload_digests: dict[str, tuple[int, Any]] = {}

    def open_store(self) -> None:
        """Create the folders, and remove files that an earlier process left in staging."""
        self._blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self._staging, self._uploads, self._quarantine, self._trash):
            folder.mkdir(exist_ok=True, mode=0o700)
            if folder.is_symlink():
                raise errors.FolderIsLink(folder)
        for leftover in self._staging.iterdir():
            if leftover.is_symlink() or not leftover.is_dir():
                leftover.unlink()
        for folder in (self._root, self._root.parent):
            durable_blobs.sync_folder(folder)

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Receive bytes into staging, check their digest, and publish them.

        Raises:
            DigestMismatch: the bytes have another digest.
            BlobTooLarge: the body has more than `limit` bytes.
            StorageUnavailable: the disk is full or broken.
        """
        staged = self._staging / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with translate_disk_errors():
                descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    size = await write_stream(descriptor, digest, group_chunks(chunks), limit)
                    _check_digest(digest.hexdigest(), sha256, size)
                    await _in_stoppable_thread(self._publish_durably, descriptor, staged, sha256)
                finally:
                    os.close(descriptor)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(staged)
        return size

    async def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Check and publish several small blobs in a single call to a thread.

        Raises:
            DigestMismatch: the bytes of a blob do not match its digest; none of the blobs is published.
            StorageUnavailable: the disk is full or broken; blobs before the failure are published, but have no rows.
        """

        def publish() -> None:
            for sha256, content in blobs.items():
                _check_digest(hashlib.sha256(content).hexdigest(), sha256, len(content))
            for sha256, content in blobs.items():
                staged = self._staging / uuid.uuid4().hex
                descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    write_all(descriptor, content)
                    self._publish_durably(descriptor, staged, sha256)
                finally:
                    os.close(descriptor)
                    with contextlib.suppress(OSError):
                        os.unlink(staged)

        with translate_disk_errors():
            await run_in_thread(publish)

    async def append_part(
        self,
        upload: str,
        chunks: AsyncIterator[bytes],
        *,
        start: int,
        start_sha256: str,
        limit: int,
        prefix_sha256: str,
    ) -> int:
        """Append one part durably to an upload, and return the new length of the upload.

        `start_sha256` is the digest of the bytes before `start`; `prefix_sha256` is the digest of all bytes up to the
        end of the part.

        Raises:
            UploadLost: the bytes before `start` are lost or have changed; the client must begin the upload again.
            DigestMismatch: the bytes do not match `prefix_sha256`; the bytes before this part remain stored.
        """
        path = self._uploads / upload
        with translate_disk_errors():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_nlink > 1:
                    # A process published this file and died before it removed this name. Blobs must not be changed.
                    os.unlink(path)
                    raise errors.UploadLost(start)
                digest = await self._resume(upload, descriptor, start, start_sha256)
                # If this part is cut off, the client sends it again, and the earlier parts need not be hashed again.
                self._upload_digests[upload] = (start, digest.copy())
                size = start + await write_stream(descriptor, digest, group_chunks(chunks), limit)
                _check_digest(digest.hexdigest(), prefix_sha256, size)
                await run_in_thread(os.fsync, descriptor)
                if start == 0:
                    await run_in_thread(durable_blobs.sync_folder, self._uploads)
            finally:
                os.close(descriptor)
        self._upload_digests[upload] = (size, digest)
        return size

    async def publish_upload(self, upload: str, sha256: str) -> None:
        """Publish an upload whose last part was received and checked."""

        def publish(stop: threading.Event) -> None:
            path = self._uploads / upload
            descriptor = os.open(path, os.O_RDWR)
            try:
                self._publish_durably(descriptor, path, sha256, stop)
            finally:
                os.close(descriptor)

        with translate_disk_errors():
            await _in_stoppable_thread(publish)

    async def delete_upload(self, upload: str) -> None:
        """Delete the received bytes of an upload."""
        self._upload_digests.pop(upload, None)
        with translate_disk_errors(), contextlib.suppress(FileNotFoundError):
            await run_in_thread(os.unlink, self._uploads / upload)

    def check_medium(self) -> None:
        """Check that the folder exists and belongs to the database.

        Raises:
            StorageUnavailable: the folder is missing or belongs to another database, so missing files prove nothing.
        """
        with translate_disk_errors():
            why = self._medium_fault()
        if why:
            # Callers without a token see this error too, so only the log has the path.
            raise errors.BlobStoreMissing from FileNotFoundError(why)

    async def _resume(self, upload: str, descriptor: int, start: int, start_sha256: str) -> Any:
        """Truncate the file to its first `start` bytes, seek to its end, and return the running digest."""
        length, digest = self._upload_digests.pop(upload, (0, None))
        # The size is compared too: truncating a lost file to `start` would fill it with zeros.
        if digest is None or not length == start <= os.fstat(descriptor).st_size:
            digest = await _in_stoppable_thread(hash_file, descriptor, start)
            if digest.hexdigest() != start_sha256 or os.fstat(descriptor).st_size < start:
                os.ftruncate(descriptor, 0)
                raise errors.UploadLost(start)
        os.ftruncate(descriptor, start)
        os.lseek(descriptor, start, os.SEEK_SET)
        return digest


def _check_digest(actual: str, expected: str, size: int) -> None:
    if actual != expected:
        raise errors.DigestMismatch(expected, actual, size)


async def _in_stoppable_thread(work: Callable[..., T], *args: Any) -> T:
    """Run work in a thread; if the caller is cancelled, the work ends after its current chunk."""
    stop = threading.Event()
    return await run_in_thread(work, *args, stop, stop=stop)
