"""The PostgreSQL engine: lost connections, two servers on one database, and constraints of the schema."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import ServerFailed
from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.queries import Records
from registry_server.serving import running
from registry_server.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run the server on asyncio."""
    return "asyncio"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """Provide an open database for one test."""
    opened = PostgresDatabase(postgres_url)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_connection_cut_during_a_write_is_reported_and_replaced(database: PostgresDatabase) -> None:
    """The write changes nothing, and the next one succeeds."""

    async def cut(records: Records) -> None:
        await records.artifacts.insert_document("lost", b"{}")
        await records.artifacts._sql.fetch_one("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StorageUnavailable):
        await database.write(cut)
    await database.ping()
    assert await database.read.artifacts.find_document("lost") is None

    async def keep(records: Records) -> None:
        await records.artifacts.insert_document("kept", b"{}")

    await database.write(keep)
    assert await database.read.artifacts.find_document("kept") == b"{}"


async def test_events_cannot_be_changed_removed_or_truncated(postgres_url: str, database: PostgresDatabase) -> None:
    """The schema itself refuses it."""
    raw: Any = await asyncpg.connect(postgres_url)
    await raw.execute("INSERT INTO events VALUES (1, 'x')")
    for statement in ("UPDATE events SET body = 'y'", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await raw.execute(statement)
    await raw.close()


def test_a_server_without_its_database_is_live_but_not_ready(
    postgres_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Requests get 503 with a remedy."""
    postgres = request.getfixturevalue("postgres")
    url_of_its_own = postgres.create_from_template(postgres_url.partition("?")[0].rpartition("/")[2])
    settings = Settings(data=tmp_path, port=0, database_url=url_of_its_own, access_log=False)
    with running(settings) as url:
        token = (tmp_path / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token, attempts=1)) as registry:
            assert list(registry.models.search()) == []
            postgres.drop_database(url_of_its_own)
            with pytest.raises(ServerFailed, match="storage_unavailable"):
                list(registry.models.search())
