"""The first start makes the first admin, whatever happens meanwhile."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common_lib.own_files import replace_own
from registry_server.core import principals
from registry_server.core.bootstrap import ensure_admin
from registry_server.core.environment import Environment
from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.infrastructure.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio."""
    return "asyncio"


def _environment(database: Any) -> Environment:
    blobs: Any = None
    return Environment(database, blobs, lambda: datetime.now(UTC), lambda: uuid.uuid4().hex, set())


async def test_the_token_in_the_file_works(tmp_path: Path) -> None:
    """It is the admin's, and a second start leaves it as it is."""
    database = SqliteDatabase(None)
    await database.open()
    file = tmp_path / "admin-token"
    await ensure_admin(_environment(database), file, replace_own)
    secret = file.read_text().strip()
    await ensure_admin(_environment(database), file, replace_own)
    assert file.read_text().strip() == secret
    _, caller = await principals.authenticate(database, secret, datetime.now(UTC))
    assert caller.name == "admin"
    await database.close()


async def test_a_start_that_died_halfway_is_made_good(tmp_path: Path) -> None:
    """The principal was made and its token not: the next start makes the token."""
    database = SqliteDatabase(None)
    await database.open()
    file = tmp_path / "admin-token"

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await ensure_admin(_environment(database), file, dies)
    await ensure_admin(_environment(database), file, replace_own)
    await principals.authenticate(database, file.read_text().strip(), datetime.now(UTC))
    await database.close()


async def test_of_many_first_starts_at_once_one_makes_the_token(postgres_url: str, tmp_path: Path) -> None:
    """Every token file that is left holds a token that works."""
    databases = [PostgresDatabase(postgres_url) for _ in range(6)]
    for database in databases:
        await database.open()
    files = [tmp_path / f"token-{n}" for n in range(6)]
    await asyncio.gather(
        *(ensure_admin(_environment(d), f, replace_own) for d, f in zip(databases, files, strict=True))
    )
    left = [file for file in files if file.exists()]
    assert len(left) == 1
    await principals.authenticate(databases[0], left[0].read_text().strip(), datetime.now(UTC))
    for database in databases:
        await database.close()
