"""Read-only access to a SQLite or PostgreSQL database, for the tools of the operator."""

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw

from registry_server.infrastructure import dialects, sqlite
from registry_server.infrastructure.database_url import InvalidDatabaseUrl
from registry_server.infrastructure.dialects import Engine
from registry_server.infrastructure.schema_history import check_history, step_name
from registry_server.queries.sql import Sql

_HAS_HISTORY = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'migrations'",
    "postgres": "SELECT 1 FROM pg_tables WHERE tablename = 'migrations' AND schemaname = current_schema()",
}

_HAS_COLUMN = {
    "sqlite": "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2",
    "postgres": "SELECT 1 FROM information_schema.columns"
    " WHERE table_name = ?1 AND column_name = ?2 AND table_schema = current_schema()",
}


class DatabaseUnreadable(RuntimeError):
    """The error for a database that cannot be read; the message contains the reason."""


@contextlib.asynccontextmanager
async def open_read_only(file: Path, database_url: str, *, snapshot: bool = False) -> AsyncIterator[Sql]:
    """Open a read-only connection: to PostgreSQL if there is a URL, otherwise to the SQLite file.

    With `snapshot`, all reads see the same state, even if a server writes meanwhile.

    Raises:
        DatabaseUnreadable: the connection or a later statement fails.
    """
    async with contextlib.AsyncExitStack() as stack:
        if database_url:
            import asyncpg  # noqa: PLC0415 - an extra may be absent

            from registry_server.infrastructure import postgres  # noqa: PLC0415 - see above

            stack.enter_context(
                translate_driver_errors(asyncpg.PostgresError, asyncpg.InterfaceError, InvalidDatabaseUrl, OSError)
            )
            raw = await postgres.connect(database_url, default_transaction_read_only="on")
            stack.push_async_callback(raw.close)
            if snapshot:
                await stack.enter_async_context(raw.transaction(isolation="repeatable_read", readonly=True))
            yield postgres.Connection(raw)
        else:
            stack.enter_context(translate_driver_errors(apsw.Error, OSError))
            stack.enter_context(_name_damaged_file(file))
            if not stat.S_ISREG(os.lstat(file).st_mode):
                # SQLite would wait for ever on a pipe.
                raise DatabaseUnreadable(
                    f"{file} is not a regular file: move it away, or replace it by the database file"
                )
            connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
            stack.enter_context(contextlib.closing(connection))
            connection.set_busy_timeout(5_000)
            if snapshot:
                connection.execute("BEGIN")
            yield sqlite.Connection(connection)


async def has_history(sql: Sql, engine: Engine) -> bool:
    """Return whether the database has a history of migrations."""
    return await sql.fetch_one(_HAS_HISTORY[engine]) is not None


async def has_column(sql: Sql, engine: Engine, table: str, column: str) -> bool:
    """Return whether a table has a column; older schemas lack some columns."""
    return await sql.fetch_one(_HAS_COLUMN[engine], table, column) is not None


async def pending_steps(sql: Sql, engine: Engine) -> list[str]:
    """Return the names of the migrations that are not applied yet.

    Raises:
        SchemaMismatch: a newer or different version of this software wrote the database.
    """
    has_history = await sql.fetch_one(_HAS_HISTORY[engine])
    history = await sql.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number") if has_history else []
    return [step_name(step) for step in check_history(dialects.load_migrations(engine), history)]


@contextlib.contextmanager
def _name_damaged_file(file: Path) -> Iterator[None]:
    """If the database is damaged, raise DatabaseUnreadable with the file and a remedy, which SQLite's errors lack."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise DatabaseUnreadable(
            f"{file} is damaged ({error}): keep a copy of it and of its -wal file, and restore the data folder from a "
            "backup"
        ) from error


@contextlib.contextmanager
def translate_driver_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise DatabaseUnreadable for errors of these kinds."""
    try:
        yield
    except kinds as error:
        raise DatabaseUnreadable(f"{type(error).__name__}: {error}") from error
