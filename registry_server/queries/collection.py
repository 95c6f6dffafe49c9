"""Queries of blobs that no version references, and of versions whose files can be released."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from registry_server.domain.base import Tombstone, to_micros
from registry_server.queries.sql import Queries

_UNREFERENCED = (
    "NOT EXISTS (SELECT 1 FROM version_files f WHERE f.sha256 = b.sha256)"
    " AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.sha256 = b.sha256 AND l.expires_at > ?1)"
)


class CollectionRecords(Queries):
    """Queries of blobs that no version references, and of versions whose files can be released."""

    async def list_tombstoned_with_files(self) -> list[tuple[str, int, datetime]]:
        """Return the tombstoned versions that still have file rows: model, number and time of the tombstone of each.

        The versions of a tombstoned model are tombstoned too.
        """
        rows = await self._sql.fetch(
            "SELECT v.model, v.version, v.tombstone, m.tombstone FROM versions v JOIN models m ON m.name = v.model"
            " WHERE (v.tombstone IS NOT NULL OR m.tombstone IS NOT NULL) AND EXISTS"
            " (SELECT 1 FROM version_files f WHERE f.model = v.model AND f.version = v.version)"
            " ORDER BY v.model, v.version"
        )
        tombstones = [[msgspec.json.decode(text, type=Tombstone).at for text in row[2:] if text] for row in rows]
        return [(row[0], row[1], min(times)) for row, times in zip(rows, tombstones, strict=True)]

    async def list_unreferenced(self, now: datetime) -> list[str]:
        """Return the digests of the blobs that no version references and that have no lease."""
        rows = await self._sql.fetch(
            f"SELECT b.sha256 FROM blobs b WHERE {_UNREFERENCED} ORDER BY sha256", to_micros(now)
        )
        return [row[0] for row in rows]

    async def mark_unreferenced(self, digests: Sequence[str], at: datetime) -> None:
        """Mark these blobs as unreferenced since `at`; keep marks that exist. Remove the marks of all other blobs."""
        known = {row[0] for row in await self._sql.fetch("SELECT sha256 FROM condemned")}
        gone = [(sha256,) for sha256 in sorted(known.difference(digests))]
        new = [(sha256, to_micros(at)) for sha256 in digests if sha256 not in known]
        await self._sql.execute_many("DELETE FROM condemned WHERE sha256 = ?1", gone)
        await self._sql.execute_many("INSERT INTO condemned (sha256, at) VALUES (?1, ?2)", new)

    async def list_marked(self, before: datetime) -> list[str]:
        """Return the digests of the blobs that were marked as unreferenced before that time."""
        rows = await self._sql.fetch("SELECT sha256 FROM condemned WHERE at <= ?1 ORDER BY sha256", to_micros(before))
        return [row[0] for row in rows]

    async def is_unreferenced(self, sha256: str, now: datetime) -> bool:
        """Return whether no version references a blob and no lease exists.

        The row is locked until this transaction ends.
        """
        await self._sql.fetch("SELECT sha256 FROM blobs WHERE sha256 = ?1 FOR UPDATE", sha256)
        row = await self._sql.fetch_one(
            f"SELECT b.sha256 FROM blobs b WHERE b.sha256 = ?2 AND {_UNREFERENCED}", to_micros(now), sha256
        )
        return row is not None

    async def release_files(self, model: str, version: int) -> None:
        """Delete the file rows of a version; its manifest stays."""
        await self._sql.execute("DELETE FROM version_files WHERE model = ?1 AND version = ?2", model, version)
