"""Queries of blobs, the leases on blobs, and documents such as manifests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from registry_server.domain.artifacts import Blob
from registry_server.domain.base import from_micros, to_micros
from registry_server.queries.rows import Table
from registry_server.queries.search import name_matches
from registry_server.queries.sql import Queries

BLOBS = Table("blobs", Blob)
_CHUNK = 500


class ArtifactRecords(Queries):
    """Queries of blobs, the leases on blobs, and documents such as manifests."""

    async def find_blob(self, sha256: str) -> Blob | None:
        """Return the row of a blob, or None; a row exists only after the bytes are stored."""
        row = await self._sql.fetch_one(f"SELECT {BLOBS.select} FROM blobs WHERE sha256 = ?1", sha256)
        return None if row is None else BLOBS.read(row)

    async def find_sizes(self, digests: Sequence[str]) -> dict[str, int]:
        """Return the sizes, by digest, of those blobs that exist and are not in quarantine.

        The blobs cannot be deleted until this transaction ends.
        """
        found: dict[str, int] = {}
        for start in range(0, len(digests), _CHUNK):
            chunk = digests[start : start + _CHUNK]
            rows = await self._sql.fetch(
                f"SELECT sha256, size FROM blobs WHERE quarantined_at IS NULL AND sha256 IN ({_marks(len(chunk))})"
                " FOR SHARE",
                *chunk,
            )
            found |= {row[0]: row[1] for row in rows}
        return found

    async def insert_blob(self, blob: Blob) -> bool:
        """Insert the row of a blob; return False if the row exists."""
        return await self._sql.execute(f"{BLOBS.insert} ON CONFLICT DO NOTHING", *BLOBS.values(blob)) == 1

    async def update_blob(self, before: Blob, blob: Blob) -> bool:
        """Store the quarantine time of `blob` in the row of `before`; return False if the row does not exist."""
        at = None if blob.quarantined_at is None else to_micros(blob.quarantined_at)
        return await self._sql.execute("UPDATE blobs SET quarantined_at = ?2 WHERE sha256 = ?1", before.sha256, at) == 1

    async def delete_blob(self, sha256: str) -> bool:
        """Delete the row of an unreferenced blob; return False if the row does not exist."""
        await self._sql.execute("DELETE FROM condemned WHERE sha256 = ?1", sha256)
        return await self._sql.execute("DELETE FROM blobs WHERE sha256 = ?1", sha256) == 1

    async def list_blobs(self, after: str, limit: int) -> Sequence[Blob]:
        """Return up to `limit` blobs, sorted by digest, whose digests are greater than `after`."""
        rows = await self._sql.fetch(
            f"SELECT {BLOBS.select} FROM blobs WHERE sha256 > ?1 ORDER BY sha256 LIMIT ?2", after, limit
        )
        return [BLOBS.read(row) for row in rows]

    async def lease(self, digests: Sequence[str], principal: str, until: datetime, *, sent: bool = False) -> None:
        """Give a principal a lease on these digests until that time. The bytes may not be stored yet.

        With `sent`, record that the principal itself has sent the bytes.
        """
        sent_column = "1" if sent else "leases.sent"
        await self._sql.execute_many(
            "INSERT INTO leases (sha256, principal, expires_at, sent) VALUES (?1, ?2, ?3, ?4)"
            f" ON CONFLICT (sha256, principal) DO UPDATE SET expires_at = ?3, sent = {sent_column}",
            [(sha256, principal, to_micros(until), int(sent)) for sha256 in digests],
        )

    async def find_readable(self, digests: Sequence[str], principal: str, patterns: Sequence[str]) -> set[str]:
        """Return those of the digests whose bytes the principal may read.

        These are the blobs that the principal has sent, and the files of versions of models whose names match a
        pattern.
        """
        found: set[str] = set()
        for start in range(0, len(digests), _CHUNK):
            values: list[Any] = [principal, *digests[start : start + _CHUNK]]

            def bind(value: Any, values: list[Any] = values) -> str:
                values.append(value)
                return f"?{len(values)}"

            among = ", ".join(f"?{n}" for n in range(2, len(values) + 1))
            rows = await self._sql.fetch(
                f"SELECT b.sha256 FROM blobs b WHERE b.sha256 IN ({among}) AND ("
                "EXISTS (SELECT 1 FROM leases l WHERE l.sha256 = b.sha256 AND l.principal = ?1 AND l.sent = 1)"
                " OR EXISTS (SELECT 1 FROM version_files f JOIN models m ON m.name = f.model"
                f" WHERE f.sha256 = b.sha256 AND {name_matches('m.folded', patterns, bind)}))",
                *values,
            )
            found |= {row[0] for row in rows}
        return found

    async def find_sent_until(self, sha256: str, principal: str) -> datetime | None:
        """Return when the principal's lease on a blob that it has sent ends, or None without such a lease."""
        statement = "SELECT expires_at FROM leases WHERE sha256 = ?1 AND principal = ?2 AND sent = 1"
        row = await self._sql.fetch_one(statement, sha256, principal)
        return None if row is None else from_micros(row[0])

    async def find_registration(self, sha256: str, patterns: Sequence[str]) -> tuple[str, datetime] | None:
        """Return who registered the oldest version that contains the blob, and when; or None.

        Only models whose names match a pattern count.
        """
        values: list[Any] = [sha256]

        def bind(value: Any) -> str:
            values.append(value)
            return f"?{len(values)}"

        row = await self._sql.fetch_one(
            "SELECT v.created_by, v.created_at FROM version_files f JOIN models m ON m.name = f.model"
            " JOIN versions v ON v.model = f.model AND v.version = f.version"
            f" WHERE f.sha256 = ?1 AND {name_matches('m.folded', patterns, bind)} ORDER BY v.created_at LIMIT 1",
            *values,
        )
        return None if row is None else (row[0], from_micros(row[1]))

    async def delete_expired_leases(self, now: datetime) -> int:
        """Delete the expired leases and return their number."""
        return await self._sql.execute("DELETE FROM leases WHERE expires_at <= ?1", to_micros(now))

    async def is_leased(self, sha256: str, now: datetime) -> bool:
        """Return whether there is a lease on the digest, even if its bytes are not stored."""
        statement = "SELECT 1 FROM leases WHERE sha256 = ?1 AND expires_at > ?2 LIMIT 1"
        return await self._sql.fetch_one(statement, sha256, to_micros(now)) is not None

    async def find_document(self, digest: str) -> bytes | None:
        """Return the document (such as a manifest) with that digest, or None."""
        row = await self._sql.fetch_one("SELECT body FROM documents WHERE digest = ?1", digest)
        return None if row is None else row[0]

    async def insert_document(self, digest: str, body: bytes) -> None:
        """Store a document under its digest; do nothing if the digest is stored already."""
        await self._sql.execute(
            "INSERT INTO documents (digest, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING", digest, body
        )


def _marks(count: int) -> str:
    return ", ".join(f"?{n}" for n in range(1, count + 1))
