"""The identity of the store, which ties the database to one blob folder."""

import msgspec

from registry_server.domain.store import StoreIdentity
from registry_server.queries.sql import Queries

_SELECT = "SELECT value FROM meta WHERE key = 'store'"


class StoreRecords(Queries):
    """Queries of the identity of the store."""

    async def find(self) -> StoreIdentity | None:
        """Return the identity, or None."""
        row = await self._sql.fetch_one(_SELECT)
        return None if row is None else msgspec.json.decode(row[0], type=StoreIdentity)

    async def claim(self, identity: StoreIdentity) -> StoreIdentity:
        """Store the identity unless another one is stored, and return the stored one."""
        await self._sql.execute(
            "INSERT INTO meta (key, value) VALUES ('store', ?1) ON CONFLICT DO NOTHING",
            msgspec.json.encode(identity).decode(),
        )
        return await self.find() or identity

    async def put(self, identity: StoreIdentity) -> None:
        """Store the identity; replace an earlier identity."""
        await self._sql.execute(
            "INSERT INTO meta (key, value) VALUES ('store', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
            msgspec.json.encode(identity).decode(),
        )
