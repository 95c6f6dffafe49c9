"""PostgreSQL through asyncpg: each use case runs in its own transaction, and reads use any connection of the pool."""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import asyncpg

from registry_server.domain import errors
from registry_server.infrastructure import dialects
from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.infrastructure.schema_history import (
    HISTORY_TABLE,
    check_history,
    history_row,
    new_log_source,
    step_name,
)
from registry_server.infrastructure.use_case_waits import WatchedUseCase
from registry_server.queries import Records
from registry_server.queries.sql import Row

T = TypeVar("T")
_ATTEMPTS = 5
_COMMAND_TIMEOUT_S = 30
# Every statement here is a point read or an index scan in the requested order. A generic plan (one for all values)
# overestimates the rows of a page, then reads and sorts a whole facet: 18 ms, where the index scan takes 1 ms.
_FORCE_INDEX_SCANS = dict.fromkeys(("enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "enable_sort"), "off")
_APPLICATION = "model-registry"
_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
# An arbitrary number; the lock keeps two starting servers from migrating at once.
_MIGRATION_LOCK = 7_305_820_481


@contextlib.contextmanager
def _translate_overflow() -> Iterator[None]:
    try:
        yield
    except asyncpg.DataError as error:
        if "out of int" in str(error):
            raise errors.NumberBeyond64Bits from None
        raise


class Connection:
    """An adapter that gives an asyncpg connection or pool the interface `Sql`."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        with _translate_overflow():
            row: Row | None = await self.raw.fetchrow(dialects.to_postgres(sql), *values)
        return None if row is None else tuple(row)

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        return await self.fetch(sql, *values)

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        with _translate_overflow():
            return [tuple(row) for row in await self.raw.fetch(dialects.to_postgres(sql), *values)]

    async def execute(self, sql: str, *values: Any) -> int:
        with _translate_overflow():
            status: str = await self.raw.execute(dialects.to_postgres(sql), *values)
        return int(status.rpartition(" ")[2])

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        await self.raw.executemany(dialects.to_postgres(sql), list(rows))

    async def claim(self, name: str) -> bool:
        claimed: bool = await self.raw.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", name)
        return claimed


class _WaitTracker:
    """An asyncpg connection that records whether it waits for the database server."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._waiting = 0

    def is_waiting(self) -> bool:
        """Return whether the connection waits for the database server."""
        return self._waiting > 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._raw, name)

        async def call(*args: Any) -> Any:
            self._waiting += 1
            try:
                return await method(*args)
            finally:
                self._waiting -= 1

        return call


class Reader(Connection):
    """A connection pool for reads; a lost connection is reported as StorageUnavailable."""

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        try:
            return await super().fetch_one(sql, *values)
        except _CONNECTION_LOST as error:
            raise errors.DatabaseUnreachable(error) from error

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        try:
            return await super().fetch(sql, *values)
        except _CONNECTION_LOST as error:
            raise errors.DatabaseUnreachable(error) from error


async def connect(url: str, **settings: str) -> Any:
    """Open one connection outside the pool; `settings` are settings of the PostgreSQL session."""
    return await asyncpg.connect(DatabaseUrl.parse(url).url, server_settings=settings)


async def connected_servers(url: str) -> int:
    """Return the number of open connections from servers of this product to a database."""
    raw = await connect(url)
    try:
        found: int = await raw.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            _APPLICATION,
        )
    finally:
        await raw.close()
    return found


class PostgresDatabase:
    """The registry's records on a PostgreSQL server; several server processes may share it."""

    read: Records
    source: str

    def __init__(self, url: str, *, connections: int = 10) -> None:
        self._url = DatabaseUrl.parse(url).url
        self._connections = connections
        self._pool: Any = None

    async def migrate(self) -> list[str]:
        """Apply the pending migrations and return their names."""
        raw = await connect(self._url)
        try:
            return await self._migrate(raw)
        finally:
            await raw.close()

    async def open(self) -> None:
        """Apply the pending migrations and open the pool for reads and writes."""
        await self.migrate()
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=1,
            max_size=self._connections,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings=_FORCE_INDEX_SCANS | {"application_name": _APPLICATION},
            reset=_skip_reset,
        )
        self.read = Records(Reader(self._pool))

    async def close(self) -> None:
        """Wait until running statements have ended, then close the pool."""
        await self._pool.close()

    async def write(self, use_case: Callable[[Records], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; an exception rolls back the whole transaction.

        After a deadlock or a serialization conflict the use case runs again.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._pool.acquire() as raw, raw.transaction():
                    tracker = _WaitTracker(raw)
                    running = cast("Coroutine[Any, Any, T]", use_case(Records(Connection(tracker))))
                    return await WatchedUseCase(running, tracker.is_waiting)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                if attempt == _ATTEMPTS:
                    raise errors.DatabaseUnreachable(error) from None
            except _CONNECTION_LOST as error:
                raise errors.DatabaseUnreachable(error) from error
        raise AssertionError("unreachable")

    async def ping(self) -> None:
        """Check that the database server responds.

        Raises:
            StorageUnavailable: the database server does not respond.
        """
        try:
            await self._pool.fetchval("SELECT 1")
        except _CONNECTION_LOST as error:
            raise errors.DatabaseUnreachable(error) from error

    async def _migrate(self, raw: Any) -> list[str]:
        applied = []
        async with raw.transaction():
            await raw.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            await raw.execute(HISTORY_TABLE)
            steps = dialects.load_migrations("postgres")
            history = await raw.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
            for step in check_history(steps, [tuple(row) for row in history]):
                await raw.execute(step.text)
                await raw.execute("INSERT INTO migrations VALUES ($1, $2, $3)", *history_row(step))
                applied.append(step_name(step))
            await raw.execute("INSERT INTO meta VALUES ('source', $1) ON CONFLICT DO NOTHING", new_log_source())
            self.source = await raw.fetchval("SELECT value FROM meta WHERE key = 'source'")
        return applied


async def _skip_reset(raw: Any) -> None:
    """Skip the statement with which asyncpg resets a connection, because it would double the cost of a point read.

    No reset is necessary: no code changes session settings or uses LISTEN, and locks end with their transaction.
    """
