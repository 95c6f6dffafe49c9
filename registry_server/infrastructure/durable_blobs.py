"""Blobs under their final names: published durably, read, verified, quarantined, moved to the trash and back.

To publish a file, the store makes these system calls in this order: fsync of the file, mkdir of its folder, fsync of
the folder above, link without replacing, fsync of the folder, unlink of the name in staging.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from registry_server.infrastructure.stream_to_file import CHUNK, hash_file, translate_disk_errors
from registry_server.threads import run_in_thread


class DurableBlobs:
    """Files named by the SHA-256 of their bytes. A file with such a name is complete and survives a power failure.

    ```
    root/sha256/ab/abcd…       published blobs
    root/quarantine/<sha256>   damaged files, for the operator to look at
    root/trash/<sha256>        files removed by the collector, until they are purged
    ```
    """

    def __init__(self, root: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._root = root
        self._sleep = sleep
        self._blobs = root / "sha256"
        self._quarantine = root / "quarantine"
        self._trash = root / "trash"
        self._durable_folders: set[Path] = set()
        # Held while a file is replaced or quarantined: otherwise the good replacement could be moved to quarantine.
        self._replace_lock = threading.Lock()

    def has_blob(self, sha256: str, size: int) -> bool:
        """Return whether a file with that digest and size is published; fast enough to run on the event loop."""
        with translate_disk_errors(), contextlib.suppress(FileNotFoundError):
            return os.stat(self._path(sha256)).st_size == size
        return False

    def read_chunks(self, sha256: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Yield `length` bytes of a blob in chunks of 1 MiB, beginning at offset `start`."""
        # Opened at the first chunk, so that no file stays open for a client that disconnects before it.
        with self._path(sha256).open("rb", buffering=0) as file:
            file.seek(start)
            while length and (chunk := file.read(min(length, CHUNK))):
                length -= len(chunk)
                yield chunk

    async def verify(self, sha256: str, bytes_per_s: float = 0.0) -> str | None:
        """Hash the stored bytes. Return None if they match, otherwise an id of the damaged file for `quarantine`.

        The id of a lost file is "lost". Read at most `bytes_per_s` bytes per second; 0 means no limit.

        Raises:
            StorageUnavailable: the disk cannot read the bytes.
        """
        digest = hashlib.sha256()
        with translate_disk_errors(), contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self._path(sha256), os.O_RDONLY)
            try:
                while length := await run_in_thread(_read_into, descriptor, digest):
                    await self._sleep(length / bytes_per_s if bytes_per_s else 0)
                return None if digest.hexdigest() == sha256 else str(os.fstat(descriptor).st_ino)
            finally:
                os.close(descriptor)
        return "lost"

    async def sync_restored_blob(self, sha256: str) -> None:
        """Sync a file that an operator restored by hand; do nothing if the file is missing."""

        def sync() -> None:
            descriptor = os.open(self._path(sha256), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(self._path(sha256).parent)

        with translate_disk_errors(), contextlib.suppress(FileNotFoundError):
            await run_in_thread(sync)

    def quarantine(self, sha256: str, damaged_file: str) -> bool:
        """Move the damaged file into quarantine; return False if a client has replaced it in the meantime."""
        final = self._path(sha256)
        with translate_disk_errors(), self._replace_lock:
            if damaged_file == "lost":
                return not final.exists()
            try:
                if str(os.stat(final).st_ino) != damaged_file:
                    return False
                self._move(final, self._quarantine / sha256)
            except FileNotFoundError:
                return True
        return True

    def move_to_trash(self, sha256: str) -> None:
        """Move the file of a blob to the trash."""
        with translate_disk_errors():
            self._move(self._path(sha256), self._trash / sha256)
            os.utime(self._trash / sha256)

    def restore_from_trash(self, sha256: str) -> bool:
        """Move the file back from the trash. Return False if the trash lacks it, or if the blob has a file already."""
        with translate_disk_errors():
            try:
                os.link(self._trash / sha256, self._path(sha256))
            except (FileNotFoundError, FileExistsError):
                return False
            sync_folder(self._path(sha256).parent)
            os.unlink(self._trash / sha256)
            sync_folder(self._trash)
        return True

    def purge(self, sha256: str) -> None:
        """Delete a file from the trash permanently."""
        with translate_disk_errors():
            os.unlink(self._trash / sha256)
            sync_folder(self._trash)

    def list_published(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of each blob whose digest begins with the two digits of `prefix`."""
        now = time.time()
        with translate_disk_errors(), contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self._blobs / prefix)):
                with contextlib.suppress(FileNotFoundError):
                    about = os.stat(self._blobs / prefix / name)
                    yield name, about.st_size, now - about.st_ctime

    def list_trash(self) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of each file in the trash, sorted by digest."""
        now = time.time()
        with translate_disk_errors():
            for name in sorted(os.listdir(self._trash)):
                about = os.stat(self._trash / name)
                yield name, about.st_size, now - about.st_mtime

    def _path(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256

    def _publish_durably(self, descriptor: int, staged: Path, sha256: str, stop: threading.Event | None = None) -> None:
        """Give a staged file its final name durably; replace a damaged file with that name."""
        os.fsync(descriptor)
        final = self._path(sha256)
        if final.parent not in self._durable_folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(final.parent, 0o700)
            # Done even if the folder exists: the process that made it may have died before it synced the name.
            sync_folder(self._blobs)
            self._durable_folders.add(final.parent)
        try:
            os.link(staged, final)
        except FileExistsError:
            durable = _sync_if_sound(final, sha256, stop)
            if stop is not None and stop.is_set():
                return
            if not durable:
                with self._replace_lock:
                    os.replace(staged, final)
        sync_folder(final.parent)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)

    def _move(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names of the files in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_if_sound(path: Path, sha256: str, stop: threading.Event | None = None) -> bool:
    """Sync a published file if its bytes match the digest, and return whether they match.

    The process that published the file may have died before it synced it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            sound: bool = hash_file(descriptor, os.fstat(descriptor).st_size, stop).hexdigest() == sha256
        except OSError:
            # If the disk cannot read the bytes, the received bytes replace them.
            return False
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sound


def _read_into(descriptor: int, digest: Any) -> int:
    chunk = os.read(descriptor, CHUNK)
    digest.update(chunk)
    return len(chunk)
