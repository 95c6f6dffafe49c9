"""Rows about bytes."""

from collections.abc import Sequence

from registry_server.domain.artifacts import Blob
from registry_server.infrastructure.rows import Table
from registry_server.infrastructure.sql import Sql

BLOBS = Table("blobs", Blob)
_CHUNK = 500


class ArtifactRecords:
    """Rows about bytes."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def blob(self, sha256: str) -> Blob | None:
        row = await self._sql.one(f"SELECT {BLOBS.select} FROM blobs WHERE sha256 = ?1", sha256)
        return None if row is None else BLOBS.read(row)

    async def sizes(self, digests: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(digests), _CHUNK):
            chunk = digests[start : start + _CHUNK]
            marks = ", ".join(f"?{n}" for n in range(1, len(chunk) + 1))
            rows = await self._sql.all(f"SELECT sha256, size FROM blobs WHERE sha256 IN ({marks})", *chunk)
            found |= {row[0]: row[1] for row in rows}
        return found

    async def insert_blob(self, blob: Blob) -> bool:
        return await self._sql.execute(f"{BLOBS.insert} ON CONFLICT DO NOTHING", *BLOBS.values(blob)) == 1

    async def document(self, digest: str) -> bytes | None:
        row = await self._sql.one("SELECT body FROM documents WHERE digest = ?1", digest)
        return None if row is None else row[0]

    async def insert_document(self, digest: str, body: bytes) -> None:
        await self._sql.execute(
            "INSERT INTO documents (digest, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING", digest, body
        )
