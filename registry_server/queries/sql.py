"""The connection that queries run on: SQL is written once, in SQLite's dialect with `?1`, for both engines."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

Row = Sequence[Any]


class Sql(Protocol):
    """A connection to either engine."""

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row, or None; run on the event loop like `fetch_inline`."""

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        """Return all rows. Run on the event loop; only for statements that read a handful of rows."""

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        """Return all rows.

        On SQLite outside a transaction, the query runs in a thread, so that other requests continue.
        """

    async def execute(self, sql: str, *values: Any) -> int:
        """Run the statement and return the number of changed rows."""

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run the statement once for each row of values."""

    async def claim(self, name: str) -> bool:
        """Claim `name` until the transaction ends; return False if another process holds it."""


class Queries:
    """Base of the queries of one resource, which run on one connection."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
