"""Whatever database of this process a test has written to: afterwards, its events must tell its state."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from registry_server.infrastructure import postgres, sqlite
from registry_server.infrastructure.group_commit import run_without_suspending
from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.infrastructure.sqlite import SqliteDatabase
from tests.support.state import assert_events_tell_the_state


@contextlib.contextmanager
def checked_logs() -> Iterator[None]:
    """Watch every database that is written to within the block, and check its log when it closes or the block ends."""
    written: set[Any] = set()
    failures: list[AssertionError] = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (SqliteDatabase, PostgresDatabase):
            _watch(patch, kind, written, failures)
        yield
    for database in written:
        asyncio.run(_check(database))
    if failures:
        raise failures[0]


def _watch(patch: pytest.MonkeyPatch, kind: Any, written: set[Any], failures: list[AssertionError]) -> None:
    write, close = kind.write, kind.close

    async def noted(database: Any, use_case: Any) -> Any:
        written.add(database)
        return await write(database, use_case)

    async def checked(database: Any) -> None:
        if database in written:
            written.discard(database)
            try:
                await _check(database)
            except AssertionError as failure:
                failures.append(failure)  # reported by the test, because close may run outside of it
        await close(database)

    patch.setattr(kind, "write", noted)
    patch.setattr(kind, "close", checked)


async def _check(database: Any) -> None:
    if isinstance(database, SqliteDatabase):
        if database._path is None:
            await assert_events_tell_the_state(database._writer)
        else:
            check_file(database._path)
    else:
        await check_database(database._url)


def check_file(path: Path) -> None:
    """Fail unless the events in a file tell the state in it."""
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as raw:
        raw.execute("BEGIN")
        run_without_suspending(assert_events_tell_the_state(sqlite.Connection(raw)))


async def check_database(url: str) -> None:
    """The same of a database on PostgreSQL."""
    raw = await asyncpg.connect(url)
    try:
        async with raw.transaction(isolation="repeatable_read"):
            await assert_events_tell_the_state(postgres.Connection(raw))
    finally:
        await raw.close()
