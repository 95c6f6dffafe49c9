"""Blobs as files: `blobs/sha256/ab/abcd…`, written once, published whole and durable or not at all."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from registry_server.domain.errors import ContentRefused, NotFound, StorageUnavailable
from registry_server.infrastructure.receiving import CHUNK, gathered, hashed, receive, unavailable, write_all
from registry_server.threads import in_thread

T = TypeVar("T")


class FilesystemBlobs:
    """A folder of blobs.

    ```
    root/staging/<random>               on its way in, in one piece; 0600; removed when the server starts
    root/uploads/<principal>.<sha256>   on its way in, in parts; 0600; survives a restart, until the upload expires
    root/sha256/ab/abcd…                published: the name is the SHA-256 of the bytes
    root/quarantine/<sha256>            found to have other bytes; for people to look at
    root/trash/<sha256>                 removed by the collector, until it is purged
    ```
    """

    def __init__(
        self,
        root: Path,
        *,
        medium: Callable[[], str] = lambda: "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the folder; `medium` returns why it is not the one it should be, and an empty text while it is."""
        self._root = root
        self._medium = medium
        self._sleep = sleep
        self._blobs = root / "sha256"
        self._staging = root / "staging"
        self._uploads = root / "uploads"
        self._quarantine = root / "quarantine"
        self._trash = root / "trash"
        self._synced: set[Path] = set()
        # The running digests of uploads, so that no byte is hashed twice; what is lost here is read again.
        self._running: dict[str, tuple[int, Any]] = {}
        # Damaged bytes are taken away while nobody replaces them, or it would be the good ones that go.
        self._replacing = threading.Lock()

    def open_store(self) -> None:
        """Make the folders and clear what an earlier end left in staging."""
        self._blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self._staging, self._uploads, self._quarantine, self._trash):
            folder.mkdir(exist_ok=True, mode=0o700)
            if folder.is_symlink():
                raise StorageUnavailable(
                    f"{folder} is a symbolic link", remedy="make it a folder of its own: files in it are removed"
                )
        for left in self._staging.iterdir():
            if left.is_symlink() or not left.is_dir():
                left.unlink()
        for folder in (self._root, self._root.parent):
            sync_folder(folder)

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Receive, check, publish: fsync of the file, link without clobber, fsync of the folder.

        Raises:
            ContentRefused: the bytes have another digest.
            TooLarge: there are more than `limit` bytes.
            StorageUnavailable: the disk is full or broken.
        """
        staged = self._staging / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                size = await receive(descriptor, digest, gathered(chunks), limit)
                _require(digest.hexdigest(), sha256, size)
                await _stoppable(self._publish, descriptor, staged, sha256)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unavailable(error) from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(staged)
        return size

    async def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Publish several small blobs, all in one hop to a thread.

        Raises:
            ContentRefused: one of them has another digest; then none is published.
            StorageUnavailable: the disk is full or broken; those before it are published, and have no row.
        """

        def publish() -> None:
            for sha256, content in blobs.items():
                _require(hashlib.sha256(content).hexdigest(), sha256, len(content))
            for sha256, content in blobs.items():
                staged = self._staging / uuid.uuid4().hex
                descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    write_all(descriptor, content)
                    self._publish(descriptor, staged, sha256)
                finally:
                    os.close(descriptor)
                    with contextlib.suppress(OSError):
                        os.unlink(staged)

        with _refused():
            await in_thread(publish)

    async def append_part(
        self,
        upload: str,
        chunks: AsyncIterator[bytes],
        *,
        start: int,
        start_sha256: str,
        most: int,
        prefix_sha256: str,
    ) -> int:
        """Receive one part of an upload, durably, and return how many bytes there are with it.

        `start_sha256` is the digest of what is there already, `prefix_sha256` that of all with the part.

        Raises:
            NotFound: what was there is there no more, or has changed; the upload begins again.
            ContentRefused: the part is not what was announced; what was there before it is kept.
        """
        path = self._uploads / upload
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_nlink > 1:
                    # Published, by a server that died before it took this name away: the blob must not be written on.
                    os.unlink(path)
                    raise _begin_again(start)
                digest = await self._resumed(upload, descriptor, start, start_sha256)
                # If this part is cut off, it is sent again, and what came before need not be read for that.
                self._running[upload] = (start, digest.copy())
                size = start + await receive(descriptor, digest, gathered(chunks), most)
                _require(digest.hexdigest(), prefix_sha256, size)
                await in_thread(os.fsync, descriptor)
                if start == 0:
                    await in_thread(sync_folder, self._uploads)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unavailable(error) from error
        self._running[upload] = (size, digest)
        return size

    async def publish_upload(self, upload: str, sha256: str) -> None:
        """Publish an upload all of whose parts are here, and of which the last one was found right."""

        def publish(stop: threading.Event) -> None:
            path = self._uploads / upload
            descriptor = os.open(path, os.O_RDWR)
            try:
                self._publish(descriptor, path, sha256, stop)
            finally:
                os.close(descriptor)

        try:
            await _stoppable(publish)
        except OSError as error:
            raise unavailable(error) from error

    async def delete_upload(self, upload: str) -> None:
        """Remove what came of an upload."""
        self._running.pop(upload, None)
        with _refused(), contextlib.suppress(FileNotFoundError):
            await in_thread(os.unlink, self._uploads / upload)

    def has_blob(self, sha256: str, size: int) -> bool:
        """Whether bytes of that length stand under the digest; quick enough for the event loop."""
        try:
            return os.stat(self._path(sha256)).st_size == size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unavailable(error) from error

    def read_chunks(self, sha256: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Some bytes of a blob, in chunks of 1 MiB."""
        # Opened at the first chunk, so that nothing stays open for a client that leaves before it.
        with self._path(sha256).open("rb", buffering=0) as file:
            file.seek(start)
            while length and (chunk := file.read(min(length, CHUNK))):
                length -= len(chunk)
                yield chunk

    async def verify(self, sha256: str, bytes_per_s: float = 0.0) -> str | None:
        """Hash the stored bytes. Return None if they match, otherwise an id of the damaged file for `quarantine`.

        At most `bytes_per_s` are read in a second, if it is not 0.

        Raises:
            StorageUnavailable: the disk does not let them be read.
        """
        digest = hashlib.sha256()
        try:
            descriptor = os.open(self._path(sha256), os.O_RDONLY)
            try:
                while length := await in_thread(_read_into, descriptor, digest):
                    await self._sleep(length / bytes_per_s if bytes_per_s else 0)
                return None if digest.hexdigest() == sha256 else str(os.fstat(descriptor).st_ino)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return "lost"
        except OSError as error:
            raise unavailable(error) from error

    def check_medium(self) -> None:
        """Return if the folder is there and is the one that belongs to the database.

        Raises:
            StorageUnavailable: it is not, so that nothing is known about a single blob.
        """
        with _refused():
            why = self._medium()
        if why:
            # Callers without a token see this too, so the path stands in the log only.
            raise StorageUnavailable(
                "the folder of bytes is missing, or is not that of this registry",
                remedy="nothing was changed; the operator finds the reason in the server's log",
                code="blob_store_missing",
            ) from FileNotFoundError(why)

    async def make_durable(self, sha256: str) -> None:
        """Make bytes durable that were put in their place by hand; those that are gone again are passed over."""

        def sync() -> None:
            descriptor = os.open(self._path(sha256), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(self._path(sha256).parent)

        with _refused(), contextlib.suppress(FileNotFoundError):
            await in_thread(sync)

    def quarantine(self, sha256: str, damaged_file: str) -> bool:
        """Whether these very bytes are out of the way now; those that were sent again meanwhile stay."""
        final = self._path(sha256)
        with _refused(), self._replacing:
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
        """Move the bytes of a blob to the trash."""
        with _refused():
            self._move(self._path(sha256), self._trash / sha256)
            os.utime(self._trash / sha256)

    def restore_from_trash(self, sha256: str) -> bool:
        """Move the bytes back from the trash, if they are there and nothing stands in their place."""
        with _refused():
            try:
                os.link(self._trash / sha256, self._path(sha256))
            except (FileNotFoundError, FileExistsError):
                return False
            sync_folder(self._path(sha256).parent)
            os.unlink(self._trash / sha256)
            sync_folder(self._trash)
        return True

    def list_published(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Digest, size and age in seconds of the files whose digest begins with two digits, in order."""
        now = time.time()
        with _refused(), contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self._blobs / prefix)):
                with contextlib.suppress(FileNotFoundError):
                    about = os.stat(self._blobs / prefix / name)
                    yield name, about.st_size, now - about.st_ctime

    def list_trash(self) -> Iterator[tuple[str, int, float]]:
        """Digest, size and age in seconds of what is in the trash."""
        now = time.time()
        with _refused():
            for name in sorted(os.listdir(self._trash)):
                about = os.stat(self._trash / name)
                yield name, about.st_size, now - about.st_mtime

    def purge(self, sha256: str) -> None:
        """Remove bytes from the trash for good."""
        with _refused():
            os.unlink(self._trash / sha256)
            sync_folder(self._trash)

    def _path(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256

    async def _resumed(self, upload: str, descriptor: int, start: int, start_sha256: str) -> Any:
        """The running digest of what is there already, the file cut to it and ready to be written on."""
        known = self._running.pop(upload, (0, None))
        # A file that was lost must not be filled up with zeros, under a digest that is remembered.
        if known[1] is not None and known[0] == start <= os.fstat(descriptor).st_size:
            digest = known[1]
        else:
            digest = await _stoppable(hashed, descriptor, start)
            if digest.hexdigest() != start_sha256 or os.fstat(descriptor).st_size < start:
                os.ftruncate(descriptor, 0)
                raise _begin_again(start)
        os.ftruncate(descriptor, start)
        os.lseek(descriptor, start, os.SEEK_SET)
        return digest

    def _publish(self, descriptor: int, staged: Path, sha256: str, stop: threading.Event | None = None) -> None:
        os.fsync(descriptor)
        final = self._path(sha256)
        if final.parent not in self._synced:
            with contextlib.suppress(FileExistsError):
                os.mkdir(final.parent, 0o700)
            # Whoever made the folder may have died before this.
            sync_folder(self._blobs)
            self._synced.add(final.parent)
        try:
            os.link(staged, final)
        except FileExistsError:
            durable = _is_durable(final, sha256, stop)
            if stop is not None and stop.is_set():
                return
            if not durable:
                with self._replacing:
                    os.replace(staged, final)
        sync_folder(final.parent)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)

    def _move(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)


def _begin_again(start: int) -> NotFound:
    return NotFound(
        "the bytes that came before are here no more",
        remedy="begin the upload again",
        field="received",
        value=start,
        code="upload_not_found",
    )


def _require(actual: str, expected: str, size: int) -> None:
    if actual != expected:
        raise ContentRefused(
            f"the {size} bytes received have the digest {actual}",
            remedy="send the bytes whose digest was announced; nothing of this request was kept",
            field="sha256",
            value=expected,
            code="digest_mismatch",
        )


async def _stoppable(work: Callable[..., T], *args: Any) -> T:
    """Run work in a thread that ends after its current chunk when nobody waits for it any more."""
    stop = threading.Event()
    return await in_thread(work, *args, stop, stop=stop)


def _read_into(descriptor: int, digest: Any) -> int:
    chunk = os.read(descriptor, CHUNK)
    digest.update(chunk)
    return len(chunk)


def _is_durable(path: Path, sha256: str, stop: threading.Event | None = None) -> bool:
    """Whether a published file has its bytes; it is synced, for whoever published it may have died before that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            sound: bool = hashed(descriptor, os.fstat(descriptor).st_size, stop).hexdigest() == sha256
        except OSError:
            # Bytes that the disk does not give back are replaced by those that came.
            return False
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sound


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """A disk that fails within is told as every other refusal."""
    try:
        yield
    except OSError as error:
        raise unavailable(error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
