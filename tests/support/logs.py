"""Checks of every database that a test has written to in this process: its events must match its state."""

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
from tests.support.state import assert_events_match_the_state


@contextlib.contextmanager
def checked_logs() -> Iterator[None]:
    """Watch every database that the block writes to, and check its event log on close or at the end of the block."""
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
            await assert_events_match_the_state(database._writer)
        else:
            check_file(database._path)
    else:
        await check_database(database._url)


def check_file(path: Path) -> None:
    """Fail unless the events in a database file match its state."""
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as raw:
        raw.execute("BEGIN")
        run_without_suspending(assert_events_match_the_state(sqlite.Connection(raw)))


async def check_database(url: str) -> None:
    """Fail unless the events in a PostgreSQL database match its state."""
    raw = await asyncpg.connect(url)
    try:
        async with raw.transaction(isolation="repeatable_read"):
            await assert_events_match_the_state(postgres.Connection(raw))
    finally:
        await raw.close()
