"""The first start creates the first admin, also after interruptions and in a race."""

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
    """Run the server on asyncio."""
    return "asyncio"


def _environment(database: Any) -> Environment:
    blobs: Any = None
    return Environment(database, blobs, lambda: datetime.now(UTC), lambda: uuid.uuid4().hex, set())


async def test_the_token_in_the_file_works(tmp_path: Path) -> None:
    """It is a token of the admin, and a second start does not change it."""
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


async def test_an_interrupted_first_start_is_completed(tmp_path: Path) -> None:
    """The principal exists without a token: the next start creates the token."""
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


async def test_one_of_many_concurrent_first_starts_creates_the_token(postgres_url: str, tmp_path: Path) -> None:
    """Every remaining token file holds a token that works."""
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
