"""PostgreSQL through asyncpg: each use case in a transaction of its own, reads on any connection."""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import asyncpg

from registry_server.core.ports import Records as RecordsPort
from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure import sql as statements
from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.infrastructure.records import Records
from registry_server.infrastructure.schema import HISTORY_TABLE, check_history, label, new_source, note
from registry_server.infrastructure.sql import Row
from registry_server.infrastructure.use_cases import Watched

T = TypeVar("T")
_ATTEMPTS = 5
_COMMAND_TIMEOUT_S = 30
# Every statement here is a point read or the walk of an index in the order asked for. Plans kept for any value (generic
# ones) guess wrong how few rows a page needs, and would read and sort a whole facet: 18 ms where the walk takes 1 ms.
_WALK_INDEXES = dict.fromkeys(("enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "enable_sort"), "off")
_APPLICATION = "model-registry"
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
# Any number will do; it keeps two starting servers from migrating at once.
_MIGRATION_LOCK = 7_305_820_481


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except asyncpg.DataError as error:
        if "out of int" in str(error):
            raise statements.out_of_range() from None
        raise


class Connection:
    """An asyncpg connection or pool in the words of `Sql`."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        with _bounded():
            row: Row | None = await self.raw.fetchrow(statements.postgres(sql), *values)
        return None if row is None else tuple(row)

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        return await self.fetch(sql, *values)

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        with _bounded():
            return [tuple(row) for row in await self.raw.fetch(statements.postgres(sql), *values)]

    async def execute(self, sql: str, *values: Any) -> int:
        with _bounded():
            status: str = await self.raw.execute(statements.postgres(sql), *values)
        return int(status.rpartition(" ")[2])

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        await self.raw.executemany(statements.postgres(sql), list(rows))

    async def claim(self, name: str) -> bool:
        claimed: bool = await self.raw.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", name)
        return claimed


class _Waits:
    """An asyncpg connection that knows whether an answer of the server is awaited."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._waiting = 0

    def __call__(self) -> bool:
        """Return whether an answer of the server is awaited."""
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
    """A pool for reads, each on any connection; a server that is gone is one of our errors."""

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        try:
            return await super().fetch_one(sql, *values)
        except _LOST as error:
            raise _unavailable(error) from error

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        try:
            return await super().fetch(sql, *values)
        except _LOST as error:
            raise _unavailable(error) from error


async def connect(url: str, **settings: str) -> Any:
    """Open one connection with these settings of the server; every one outside of a pool comes from here."""
    return await asyncpg.connect(DatabaseUrl.parse(url).url, server_settings=settings)


async def connected_servers(url: str) -> int:
    """Count the connections that servers of this product have to a database now."""
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
    """The registry's records on a PostgreSQL server, shared by any number of processes."""

    read: RecordsPort
    source: str

    def __init__(self, url: str, *, connections: int = 10) -> None:
        self._url = DatabaseUrl.parse(url).url
        self._connections = connections
        self._pool: Any = None

    async def migrate(self) -> list[str]:
        """Bring the schema up to date, and name the steps that were taken."""
        raw = await connect(self._url)
        try:
            return await self._migrate(raw)
        finally:
            await raw.close()

    async def open(self) -> None:
        """Bring the schema up to date and begin to take reads and writes."""
        await self.migrate()
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=1,
            max_size=self._connections,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings=_WALK_INDEXES | {"application_name": _APPLICATION},
            reset=_leave_as_is,
        )
        self.read = Records(Reader(self._pool))

    async def close(self) -> None:
        """Finish what is under way, then close."""
        await self._pool.close()

    async def write(self, use_case: Callable[[RecordsPort], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; what it raises rolls it back whole.

        A transaction that loses a deadlock or a serialization conflict is run again.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._pool.acquire() as raw, raw.transaction():
                    waits = _Waits(raw)
                    running = cast("Coroutine[Any, Any, T]", use_case(Records(Connection(waits))))
                    return await Watched(running, waits)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                if attempt == _ATTEMPTS:
                    raise _unavailable(error) from None
            except _LOST as error:
                raise _unavailable(error) from error
        raise AssertionError("unreachable")

    async def ping(self) -> None:
        """Return if the server answers."""
        try:
            await self._pool.fetchval("SELECT 1")
        except _LOST as error:
            raise _unavailable(error) from error

    async def _migrate(self, raw: Any) -> list[str]:
        taken = []
        async with raw.transaction():
            await raw.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            await raw.execute(HISTORY_TABLE)
            steps = statements.migrations("postgres")
            history = await raw.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
            for step in check_history(steps, [tuple(row) for row in history]):
                await raw.execute(step.text)
                await raw.execute("INSERT INTO migrations VALUES ($1, $2, $3)", *note(step))
                taken.append(label(step))
            await raw.execute("INSERT INTO meta VALUES ('source', $1) ON CONFLICT DO NOTHING", new_source())
            self.source = await raw.fetchval("SELECT value FROM meta WHERE key = 'source'")
        return taken


async def _leave_as_is(raw: Any) -> None:
    """No settings are changed, nothing is listened to, and locks end with their transaction.

    So the statement by which asyncpg forgets all these is left out: it would double the cost of a point read.
    """


def _unavailable(error: BaseException) -> StorageUnavailable:
    return StorageUnavailable(
        f"the database failed: {type(error).__name__}",
        remedy="nothing was changed unless this was a commit; try again with the same Idempotency-Key",
    )
