"""The records about bytes: blobs, uploads, and the collection of unreferenced blobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from registry_server.domain.artifacts import Blob
from registry_server.domain.uploads import Progress


class Artifacts(Protocol):
    """Rows about bytes: blobs, leases, and documents small enough for a row."""

    async def find_blob(self, sha256: str) -> Blob | None:
        """Return the row of a blob, or None; a row exists only after the bytes are stored."""

    async def find_sizes(self, digests: Sequence[str]) -> dict[str, int]:
        """Return the sizes of those blobs that exist and are not in quarantine.

        The blobs cannot be deleted until this transaction ends.
        """

    async def insert_blob(self, blob: Blob) -> bool:
        """Insert the row of a blob; return False if it exists."""

    async def update_blob(self, before: Blob, blob: Blob) -> bool:
        """Store `blob` if there is a row of `before`; return False otherwise."""

    async def delete_blob(self, sha256: str) -> bool:
        """Delete the row of an unreferenced blob; return False if it does not exist."""

    async def list_blobs(self, after: str, limit: int) -> Sequence[Blob]:
        """Return up to `limit` blobs by digest, those after `after`."""

    async def lease(self, digests: Sequence[str], principal: str, until: datetime, *, sent: bool = False) -> None:
        """Lease these digests to a principal until that time; their bytes may still be missing.

        `sent` records that the principal has sent the bytes itself.
        """

    async def find_readable(self, digests: Sequence[str], principal: str, patterns: Sequence[str]) -> set[str]:
        """Return those blobs that the principal has sent, or that a model with a matching name references."""

    async def find_sent_until(self, sha256: str, principal: str) -> datetime | None:
        """Return the end of the principal's lease on bytes it has sent, or None."""

    async def find_registration(self, sha256: str, patterns: Sequence[str]) -> tuple[str, datetime] | None:
        """Return who registered the oldest version with those bytes, among models with a matching name, and when."""

    async def delete_expired_leases(self, now: datetime) -> int:
        """Delete the expired leases and return their number."""

    async def is_leased(self, sha256: str, now: datetime) -> bool:
        """Return whether there is a lease on these bytes, stored or not."""

    async def find_document(self, digest: str) -> bytes | None:
        """Return a manifest or another document by its digest, or None."""

    async def insert_document(self, digest: str, body: bytes) -> None:
        """Store a document; do nothing if its digest is stored already."""


class Uploads(Protocol):
    """Uploads in parts that are not complete."""

    async def find(self, sha256: str, principal: str) -> Progress | None:
        """Return the upload of those bytes by that principal, or None."""

    async def count_open(self, principal: str, now: datetime) -> tuple[int, int]:
        """Return the number of unfinished uploads of a principal, and the sum of their announced sizes."""

    async def put(self, upload: Progress) -> None:
        """Store the progress of an upload."""

    async def delete(self, sha256: str, principal: str) -> None:
        """Delete the row of an upload."""

    async def list_expired(self, now: datetime) -> list[Progress]:
        """Return the uploads whose time is over."""


class Collection(Protocol):
    """Blobs that no version references, and versions whose files can be released."""

    async def list_tombstoned_with_files(self) -> list[tuple[str, int, datetime]]:
        """Return model, number and time of tombstone of the tombstoned versions that still have file rows.

        The versions of a tombstoned model are tombstoned too.
        """

    async def list_unreferenced(self, now: datetime) -> list[str]:
        """Return the blobs without a version and without a lease."""

    async def mark_unreferenced(self, digests: Sequence[str], at: datetime) -> None:
        """Store when these blobs were first found unreferenced, and remove the marks of all others."""

    async def list_marked(self, before: datetime) -> list[str]:
        """Return the blobs that were marked as unreferenced before that time."""

    async def is_unreferenced(self, sha256: str, now: datetime) -> bool:
        """Return whether a blob has no version and no lease; the row is locked until this transaction ends."""

    async def release_files(self, model: str, version: int) -> None:
        """Delete the file rows of a version; its manifest stays."""
