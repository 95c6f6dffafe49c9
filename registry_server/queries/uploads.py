"""Queries of incomplete uploads in parts."""

from datetime import datetime

from registry_server.domain.base import to_micros
from registry_server.domain.uploads import Progress
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

UPLOADS = Table("uploads", Progress)


class UploadRecords(Queries):
    """Queries of incomplete uploads in parts."""

    async def find(self, sha256: str, principal: str) -> Progress | None:
        """Return the upload of this digest by this principal, or None."""
        row = await self._sql.fetch_one(
            f"SELECT {UPLOADS.select} FROM uploads WHERE sha256 = ?1 AND principal = ?2", sha256, principal
        )
        return None if row is None else UPLOADS.read(row)

    async def count_open(self, principal: str, now: datetime) -> tuple[int, int]:
        """Return the number of unfinished uploads of a principal, and the sum of their announced sizes."""
        row = await self._sql.fetch_one(
            "SELECT count(*), coalesce(sum(size), 0) FROM uploads WHERE principal = ?1 AND expires_at > ?2",
            principal,
            to_micros(now),
        )
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    async def put(self, upload: Progress) -> None:
        """Store the progress of an upload."""
        await self._sql.execute(
            f"{UPLOADS.insert} ON CONFLICT (sha256, principal) DO UPDATE"
            " SET received = ?4, prefix_sha256 = ?5, expires_at = ?6",
            *UPLOADS.values(upload),
        )

    async def delete(self, sha256: str, principal: str) -> None:
        """Delete the row of an upload."""
        await self._sql.execute("DELETE FROM uploads WHERE sha256 = ?1 AND principal = ?2", sha256, principal)

    async def list_expired(self, now: datetime) -> list[Progress]:
        """Return the uploads that have expired."""
        rows = await self._sql.fetch(f"SELECT {UPLOADS.select} FROM uploads WHERE expires_at <= ?1", to_micros(now))
        return [UPLOADS.read(row) for row in rows]
