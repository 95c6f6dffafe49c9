"""Approvals and refusals of versions."""

from registry_server.domain.approvals import Approval
from registry_server.infrastructure.rows import Table
from registry_server.infrastructure.sql import Sql

APPROVALS = Table("approvals", Approval)


class ApprovalRecords:
    """Approvals and refusals of versions."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def find(self, model: str, version: int, approver: str) -> Approval | None:
        row = await self._sql.fetch_one(
            f"SELECT {APPROVALS.select} FROM approvals WHERE model = ?1 AND version = ?2 AND approver = ?3",
            model,
            version,
            approver,
        )
        return None if row is None else APPROVALS.read(row)

    async def list_of_version(self, model: str, version: int) -> list[Approval]:
        rows = await self._sql.fetch_inline(
            f"SELECT {APPROVALS.select} FROM approvals WHERE model = ?1 AND version = ?2 ORDER BY approver",
            model,
            version,
        )
        return [APPROVALS.read(row) for row in rows]

    async def put(self, approval: Approval) -> None:
        await self._sql.execute(
            f"{APPROVALS.insert} ON CONFLICT (model, version, approver) DO UPDATE"
            " SET verdict = ?4, reason = ?5, subject = ?6, policy = ?7, at = ?8",
            *APPROVALS.values(approval),
        )
