"""The interfaces of the database and of the blob store that the use cases call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from typing import Protocol, TypeVar

from registry_server.queries import Records

T = TypeVar("T")


class Database(Protocol):
    """The database that stores the records, in SQLite or PostgreSQL."""

    read: Records
    source: str

    async def write(self, use_case: Callable[[Records], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; an exception rolls back the whole transaction."""

    async def ping(self) -> None:
        """Check that the database responds.

        Raises:
            StorageUnavailable: the database does not respond.
        """


class BlobStore(Protocol):
    """The store of blobs, each under the SHA-256 of its bytes.

    A blob becomes visible once it is complete and durable.
    """

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Receive a blob, check its digest, store it durably, and return its size."""

    async def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Store several small blobs; check all digests before the first blob is stored."""

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
        """Append one part durably to an upload, and return the new length of the upload."""

    async def publish_upload(self, upload: str, sha256: str) -> None:
        """Store a complete upload as a blob."""

    async def delete_upload(self, upload: str) -> None:
        """Delete the received bytes of an upload."""

    def has_blob(self, sha256: str, size: int) -> bool:
        """Return whether a blob with that digest and `size` bytes is stored."""

    def read_chunks(self, sha256: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Yield `length` bytes of a blob in chunks, beginning at offset `start`."""

    async def verify(self, sha256: str, bytes_per_s: float = 0.0) -> str | None:
        """Hash the stored bytes. Return None if they match, otherwise an id of the damaged file for `quarantine`.

        Read at most `bytes_per_s` bytes per second; 0 means no limit.
        """

    def check_medium(self) -> None:
        """Check that the blob folder exists and belongs to the database.

        Raises:
            StorageUnavailable: the folder is missing or belongs to another database.
        """

    async def sync_restored_blob(self, sha256: str) -> None:
        """Sync the bytes of a blob that an operator restored by hand; do nothing if they are missing."""

    def quarantine(self, sha256: str, damaged_file: str) -> bool:
        """Move the damaged file into quarantine; return False if a client has replaced it in the meantime."""

    def move_to_trash(self, sha256: str) -> None:
        """Move the bytes of a blob to the trash."""

    def restore_from_trash(self, sha256: str) -> bool:
        """Move the bytes of a blob back from the trash.

        Return False if the trash lacks them, or if the blob has bytes already.
        """

    def list_published(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of each blob whose digest begins with the two digits of `prefix`."""

    def list_trash(self) -> Iterator[tuple[str, int, float]]:
        """Yield digest, size and age in seconds of each blob in the trash."""

    def purge(self, sha256: str) -> None:
        """Delete the bytes of a blob from the trash permanently."""
