"""Queries of the event log, to which events are only appended."""

from collections.abc import Sequence
from datetime import datetime

from registry_server.domain.base import from_micros, to_micros
from registry_server.domain.events import Event
from registry_server.queries.sql import Queries, Sql


class EventRecords(Queries):
    """Queries of the event log, to which events are only appended."""

    def __init__(self, sql: Sql) -> None:
        super().__init__(sql)
        # The time of the log never decreases, so a moment in its past need not be compared again.
        self._passed = 0

    async def take_next_place(self, now: datetime) -> tuple[int, datetime]:
        """Return the next sequence number and its time, which is later than the time of every earlier event.

        The counter is locked until this transaction ends, so commits, sequence numbers and times are in the same order.
        """
        (row,) = await self._sql.fetch(
            "UPDATE counters SET value = value + 1, at = CASE WHEN at < ?1 THEN ?1 ELSE at + 1 END"
            " WHERE name = 'events' RETURNING value, at",
            to_micros(now),
        )
        return row[0], from_micros(row[1])

    async def has_passed(self, moment: datetime) -> bool:
        """Return whether every future event will be later than that moment."""
        wanted = to_micros(moment)
        if self._passed < wanted:
            row = await self._sql.fetch_one("SELECT at FROM counters WHERE name = 'events'")
            self._passed = row[0] if row is not None else 0
        return self._passed >= wanted

    async def close_time(self, until: datetime) -> None:
        """Make every future event later than that moment."""
        await self._sql.execute("UPDATE counters SET at = ?1 WHERE name = 'events' AND at < ?1", to_micros(until))

    async def append(self, event: Event) -> None:
        """Append the event, which already has its sequence number."""
        await self._sql.execute("INSERT INTO events (sequence, body) VALUES (?1, ?2)", event.sequence, event.body)

    async def list_after(self, sequence: int, limit: int) -> Sequence[Event]:
        """Return up to `limit` events whose sequence numbers are greater than `sequence`, in order."""
        rows = await self._sql.fetch(
            "SELECT sequence, body FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2", sequence, limit
        )
        return [Event(*row) for row in rows]
