"""Tables that are derived from the log: tenures in production, and the decisions about each model."""

from collections.abc import Sequence
from datetime import datetime

from registry_server.domain.base import to_micros
from registry_server.domain.events import Event
from registry_server.domain.pages import Window
from registry_server.domain.production import Tenure
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

TENURES = Table("tenures", Tenure)
_LAST = "ORDER BY since DESC LIMIT 1"


class TimelineRecords(Queries):
    """Tables that are derived from the log."""

    async def find_last(self, model: str) -> Tenure | None:
        """Return the newest tenure of a model, or None."""
        return await self._one(f"model = ?1 {_LAST}", model)

    async def find_at(self, model: str, moment: datetime) -> Tenure | None:
        """Return the tenure of a model at a moment, or None."""
        return await self._one(f"model = ?1 AND since <= ?2 {_LAST}", model, to_micros(moment))

    async def find(self, sequence: int) -> Tenure | None:
        """Return the tenure that an event began, or None."""
        return await self._one("sequence = ?1", sequence)

    async def insert(self, tenure: Tenure) -> None:
        """Insert a tenure."""
        await self._sql.execute(TENURES.insert, *TENURES.values(tenure))

    async def insert_decision(self, model: str, sequence: int) -> None:
        """Record that an event is a decision about a model."""
        await self._sql.execute("INSERT INTO decisions (model, sequence) VALUES (?1, ?2)", model, sequence)

    async def list_decisions(self, model: str, window: Window) -> Sequence[Event]:
        """Return the decisions of one window about a model, newest first, and one more if there is a next page."""
        before = "AND d.sequence < ?2" if window.after else ""
        rows = await self._sql.fetch(
            "SELECT e.sequence, e.body FROM decisions d JOIN events e ON e.sequence = d.sequence"
            f" WHERE d.model = ?1 {before} ORDER BY d.sequence DESC LIMIT {window.limit + 1}",
            model,
            *window.after,
        )
        return [Event(*row) for row in rows]

    async def needs_rebuild(self) -> bool:
        """Return whether both tables must be rebuilt from the log. No other transaction can rebuild them meanwhile."""
        row = await self._sql.fetch_one("SELECT value FROM meta WHERE key = 'timeline' FOR UPDATE")
        return row is not None and row[0] == "due"

    async def mark_rebuilt(self) -> None:
        """Record that both tables were rebuilt."""
        await self._sql.execute("UPDATE meta SET value = 'done' WHERE key = 'timeline'")

    async def _one(self, where: str, *values: object) -> Tenure | None:
        row = await self._sql.fetch_one(f"SELECT {TENURES.select} FROM tenures WHERE {where}", *values)
        return None if row is None else TENURES.read(row)
