"""The database and the blob store, as the use cases need them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from typing import Protocol, TypeVar

from registry_server.queries import Records

T = TypeVar("T")


class Database(Protocol):
    """The database behind the records, of either engine."""

    read: Records
    source: str

    async def write(self, use_case: Callable[[Records], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; an exception rolls back all of it."""

    async def ping(self) -> None:
        """Return if the database responds.

        Raises:
            StorageUnavailable: it does not respond.
        """


class BlobStore(Protocol):
    """Bytes stored under their SHA-256; a blob appears whole and durable, or not at all."""

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Receive a blob, check its digest, store it durably, and return its size."""

    async def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Store several small blobs; check all digests before the first is stored."""

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
        """Append one part to an upload, durably, and return the length of the upload with it."""

    async def publish_upload(self, upload: str, sha256: str) -> None:
        """Store a complete upload as a blob."""

    async def delete_upload(self, upload: str) -> None:
        """Delete the received bytes of an upload."""

    def has_blob(self, sha256: str, size: int) -> bool:
        """Return whether bytes of that size are stored under the digest."""

    def read_chunks(self, sha256: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Yield `length` bytes of a blob from `start` on, in chunks."""

    async def verify(self, sha256: str, bytes_per_s: float = 0.0) -> str | None:
        """Hash the stored bytes. Return None if they match, otherwise an id of the damaged file for `quarantine`.

        At most `bytes_per_s` are read in a second, if it is not 0.
        """

    def check_medium(self) -> None:
        """Check that the blob folder exists and belongs to the database.

        Raises:
            StorageUnavailable: it does not.
        """

    async def sync_restored_blob(self, sha256: str) -> None:
        """Sync bytes that an operator put back by hand; do nothing if they are gone again."""

    def quarantine(self, sha256: str, damaged_file: str) -> bool:
        """Move the damaged file into quarantine; return False if a client has replaced it in the meantime."""

    def move_to_trash(self, sha256: str) -> None:
        """Move the bytes of a blob to the trash."""

    def restore_from_trash(self, sha256: str) -> bool:
        """Move bytes back from the trash; return False if they are not there or the blob has bytes already."""

    def list_published(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of the blobs whose digest begins with two digits, in order."""

    def list_trash(self) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of the blobs in the trash, in order."""

    def purge(self, sha256: str) -> None:
        """Delete bytes in the trash for good."""
