"""Queries of the policies of models."""

from registry_server.domain.policies import Policy
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

POLICIES = Table("policies", Policy)


class PolicyRecords(Queries):
    """Queries of the policies of models."""

    async def find(self, model: str) -> Policy | None:
        """Return the policy of a model, or None."""
        row = await self._sql.fetch_one(f"SELECT {POLICIES.select} FROM policies WHERE model = ?1", model)
        return None if row is None else POLICIES.read(row)

    async def put(self, policy: Policy) -> bool:
        """Store the policy unless the stored revision is not the one before; then return False."""
        put = await self._sql.execute(
            f"{POLICIES.insert} ON CONFLICT (model) DO UPDATE"
            " SET rules = ?2, revision = ?3, updated_by = ?4, updated_at = ?5 WHERE policies.revision = ?3 - 1",
            *POLICIES.values(policy),
        )
        return put == 1
