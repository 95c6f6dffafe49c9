"""Tenures and decisions follow from the log: a server rebuilds them when it opens a database that has none yet."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.infrastructure import postgres as postgres_engine
from registry_server.infrastructure import sqlite as sqlite_engine
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.state import assert_events_match_the_state, stored_timeline
from tests.support.steps import promoted, version_of

# Commands that take the schema back to the time before tenures existed.
BEFORE = [
    "DROP TABLE tenures",
    "DROP TABLE decisions",
    "DROP TABLE policies",
    "DROP TABLE approvals",
    "ALTER TABLE versions DROP COLUMN recall",
    "DELETE FROM migrations WHERE number >= 3",
]


@contextlib.contextmanager
def serving(data: Path, database_url: str) -> Iterator[HttpRegistry]:
    """Serve the data and yield the admin's registry."""
    settings = Settings(data=data, port=0, access_log=False, database_url=database_url)
    with running(settings) as url, HttpRegistry(RegistryConfig(url=url, token=_token(data))) as registry:
        yield registry


def _token(data: Path) -> str:
    return (data / "admin-token").read_text().strip()


def on_sqlite(data: Path, *commands: str) -> tuple[object, object]:
    """Run the commands; without commands, compare the log with the state and return tenures and decisions."""
    raw = apsw.Connection(str(data / "registry.sqlite3"))
    with contextlib.closing(raw):
        for command in commands:
            raw.execute(command)
        sql = sqlite_engine.Connection(raw)
        if commands:
            return None, None
        asyncio.run(assert_events_match_the_state(sql))
        return asyncio.run(stored_timeline(sql))


async def on_postgres(url: str, *commands: str) -> tuple[object, object]:
    """Do the same on PostgreSQL."""
    raw = await asyncpg.connect(url)
    try:
        for command in commands:
            await raw.execute(command)
        sql = postgres_engine.Connection(raw)
        if commands:
            return None, None
        await assert_events_match_the_state(sql)
        return await stored_timeline(sql)
    finally:
        await raw.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_an_old_database_gets_its_tenures_from_the_log(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    """They equal those that were stored with each event, and the next start does not rebuild them again."""
    url = request.getfixturevalue("postgres_url") if engine == "postgres" else ""
    look = (lambda *c: asyncio.run(on_postgres(url, *c))) if url else (lambda *c: on_sqlite(tmp_path, *c))
    with serving(tmp_path, url) as registry:
        registry.models.create("eurusd", "regression")
        for _ in range(3):
            promoted(registry, "eurusd")
        registry.versions.update("eurusd", 3, tags={str(n): "x" * 200 for n in range(64)}, force=True, reason="many")
        registry.versions.transition("eurusd", 3, "archived", reason="it fails", force=True)
        promoted(registry, "eurusd")
        began = registry.production.at("eurusd").since
    stored = look()
    look(*BEFORE)
    with serving(tmp_path, url) as registry:
        assert registry.production.at("eurusd", began).version == 4
        assert registry.resolve(f"models:/eurusd/production?as_of={began.isoformat()}").version == 4
        assert registry.production.rollback("eurusd", reason="it fails too", replacing=4).version == 3
        assert version_of(registry, "eurusd").recall is None
    tenures, decisions = look()
    assert (tenures[:-1], decisions[:-1]) == stored  # type: ignore[index]
    with serving(tmp_path, url):
        pass
    assert look() == (tenures, decisions)
