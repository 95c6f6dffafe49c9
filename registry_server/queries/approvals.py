"""Queries of approvals and refusals of versions."""

from registry_server.domain.approvals import Approval
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

APPROVALS = Table("approvals", Approval)


class ApprovalRecords(Queries):
    """Queries of approvals and refusals of versions."""

    async def find(self, model: str, version: int, approver: str) -> Approval | None:
        """Return the current verdict of a human on a version, or None."""
        row = await self._sql.fetch_one(
            f"SELECT {APPROVALS.select} FROM approvals WHERE model = ?1 AND version = ?2 AND approver = ?3",
            model,
            version,
            approver,
        )
        return None if row is None else APPROVALS.read(row)

    async def list_of_version(self, model: str, version: int) -> list[Approval]:
        """Return the current verdicts on a version, sorted by the name of the approver."""
        rows = await self._sql.fetch_inline(
            f"SELECT {APPROVALS.select} FROM approvals WHERE model = ?1 AND version = ?2 ORDER BY approver",
            model,
            version,
        )
        return [APPROVALS.read(row) for row in rows]

    async def put(self, approval: Approval) -> None:
        """Store the verdict of a human; replace an earlier verdict of the same human."""
        await self._sql.execute(
            f"{APPROVALS.insert} ON CONFLICT (model, version, approver) DO UPDATE"
            " SET verdict = ?4, reason = ?5, subject = ?6, policy = ?7, at = ?8",
            *APPROVALS.values(approval),
        )
