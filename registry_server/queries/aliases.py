"""Queries of aliases, which point to versions."""

from registry_server.domain.aliases import Alias
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

ALIASES = Table("aliases", Alias)


class AliasRecords(Queries):
    """Queries of aliases, which point to versions."""

    async def find(self, model: str, alias: str) -> Alias | None:
        """Return the alias with that name, or None."""
        row = await self._sql.fetch_one(
            f"SELECT {ALIASES.select} FROM aliases WHERE model = ?1 AND alias = ?2", model, alias
        )
        return None if row is None else ALIASES.read(row)

    async def list_of_model(self, model: str) -> list[Alias]:
        """Return all aliases of a model, sorted by name."""
        rows = await self._sql.fetch(f"SELECT {ALIASES.select} FROM aliases WHERE model = ?1 ORDER BY alias", model)
        return [ALIASES.read(row) for row in rows]

    async def list_of_version(self, model: str, version: int) -> list[str]:
        """Return the names of the aliases that point to a version."""
        rows = await self._sql.fetch(
            "SELECT alias FROM aliases WHERE model = ?1 AND version = ?2 ORDER BY alias", model, version
        )
        return [row[0] for row in rows]

    async def insert(self, alias: Alias) -> bool:
        """Insert the alias; return False if an alias with its name exists."""
        return await self._sql.execute(f"{ALIASES.insert} ON CONFLICT DO NOTHING", *ALIASES.values(alias)) == 1

    async def update(self, before: Alias, alias: Alias) -> bool:
        """Store `alias` if the stored alias has the revision of `before`; return False otherwise."""
        changed = await self._sql.execute(
            "UPDATE aliases SET version = ?4, revision = ?5, updated_by = ?6, updated_at = ?7"
            " WHERE model = ?1 AND alias = ?2 AND revision = ?3",
            alias.model,
            alias.alias,
            before.revision,
            *ALIASES.values(alias)[2:],
        )
        return changed == 1

    async def delete(self, alias: Alias) -> bool:
        """Delete the alias if the stored alias has the same revision; return False otherwise."""
        deleted = await self._sql.execute(
            "DELETE FROM aliases WHERE model = ?1 AND alias = ?2 AND revision = ?3",
            alias.model,
            alias.alias,
            alias.revision,
        )
        return deleted == 1
