"""A look at a database of either engine that changes nothing, for the operator's tools."""

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw

from registry_server.infrastructure import sql as statements
from registry_server.infrastructure import sqlite
from registry_server.infrastructure.database_url import InvalidDatabaseUrl
from registry_server.infrastructure.schema import check_history, label
from registry_server.infrastructure.sql import Engine, Sql

_HAS_HISTORY = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'migrations'",
    "postgres": "SELECT 1 FROM pg_tables WHERE tablename = 'migrations' AND schemaname = current_schema()",
}

_HAS_COLUMN = {
    "sqlite": "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2",
    "postgres": "SELECT 1 FROM information_schema.columns"
    " WHERE table_name = ?1 AND column_name = ?2 AND table_schema = current_schema()",
}


class Unreadable(RuntimeError):
    """The database cannot be looked at; the message says why."""


@contextlib.asynccontextmanager
async def reading(file: Path, database_url: str, *, snapshot: bool = False) -> AsyncIterator[Sql]:
    """A read-only connection: to PostgreSQL if there is a URL, or else to the file of SQLite.

    With `snapshot` all that is read is the state of one moment, whatever a server writes meanwhile.

    Raises:
        Unreadable: the engine says no, at once or later.
    """
    async with contextlib.AsyncExitStack() as stack:
        if database_url:
            import asyncpg  # noqa: PLC0415 - an extra may be absent

            from registry_server.infrastructure import postgres  # noqa: PLC0415 - see above

            stack.enter_context(_told(asyncpg.PostgresError, asyncpg.InterfaceError, InvalidDatabaseUrl, OSError))
            raw = await postgres.connect(database_url, default_transaction_read_only="on")
            stack.push_async_callback(raw.close)
            if snapshot:
                await stack.enter_async_context(raw.transaction(isolation="repeatable_read", readonly=True))
            yield postgres.Connection(raw)
        else:
            stack.enter_context(_told(apsw.Error, OSError))
            stack.enter_context(_naming_damage(file))
            if not stat.S_ISREG(os.lstat(file).st_mode):
                # SQLite would wait for ever at a pipe.
                raise Unreadable(f"{file} is not a regular file: move it away, or put the file itself in its place")
            connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
            stack.enter_context(contextlib.closing(connection))
            connection.set_busy_timeout(5_000)
            if snapshot:
                connection.execute("BEGIN")
            yield sqlite.Connection(connection)


async def has_history(sql: Sql, engine: Engine) -> bool:
    """Return whether the database was ever migrated by this software."""
    return await sql.fetch_one(_HAS_HISTORY[engine]) is not None


async def has_column(sql: Sql, engine: Engine, table: str, column: str) -> bool:
    """Return whether a table has a column, which an older schema may lack."""
    return await sql.fetch_one(_HAS_COLUMN[engine], table, column) is not None


async def pending(sql: Sql, engine: Engine) -> list[str]:
    """The steps of the schema that are still to take.

    Raises:
        SchemaMismatch: another version of this software wrote the database.
    """
    has = await sql.fetch_one(_HAS_HISTORY[engine])
    history = await sql.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number") if has else []
    return [label(step) for step in check_history(statements.migrations(engine), history)]


@contextlib.contextmanager
def _naming_damage(file: Path) -> Iterator[None]:
    """Say of a database that is damaged which file it is and what to do; SQLite says neither."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise Unreadable(
            f"{file} is damaged ({error}): keep a copy of it and of its -wal file, and restore the data folder from a "
            "backup"
        ) from error


@contextlib.contextmanager
def _told(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
