"""Queries of the first responses to write requests; the key is principal and Idempotency-Key."""

from datetime import datetime

import msgspec

from registry_server.domain.answers import Answer, FirstAnswer
from registry_server.domain.base import to_micros
from registry_server.queries.sql import Queries


class IdempotencyRecords(Queries):
    """Queries of the first responses to write requests; the key is principal and Idempotency-Key."""

    async def claim(self, principal: str, key: str) -> bool:
        """Claim the key until this transaction ends; return False if another process holds the claim."""
        return await self._sql.claim(f"{principal}\n{key}")

    async def find(self, principal: str, key: str) -> FirstAnswer | None:
        """Return the first response to a key, or None."""
        row = await self._sql.fetch_one(
            "SELECT fingerprint, status, body, etag, location FROM idempotency WHERE principal = ?1 AND key = ?2",
            principal,
            key,
        )
        return None if row is None else FirstAnswer(row[0], Answer(*row[1:]))

    async def insert(self, principal: str, key: str, fingerprint: str, answer: Answer, at: datetime) -> None:
        """Store the first response to a key."""
        await self._sql.execute(
            "INSERT INTO idempotency (principal, key, fingerprint, status, body, etag, location, created_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            principal,
            key,
            fingerprint,
            *msgspec.structs.astuple(answer),
            to_micros(at),
        )

    async def delete_older(self, before: datetime) -> int:
        """Delete the responses stored before that time, and return their number."""
        return await self._sql.execute("DELETE FROM idempotency WHERE created_at < ?1", to_micros(before))
