"""After each test that writes, its events must tell its state; here is shown that this would be noticed."""

import asyncio
import contextlib
from pathlib import Path

import apsw
import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import running
from registry_server.settings import Settings
from registry_server.testing import TestBackend
from tests.support.logs import checked_logs

CHANGE = "UPDATE models SET owner = 'somebody else'"

pytestmark = pytest.mark.damages


def test_a_change_behind_the_log_is_noticed_in_memory(model_registry_backend: TestBackend) -> None:
    """The database is still open when the test ends."""
    watching = checked_logs()
    watching.__enter__()
    with model_registry_backend.registry() as registry:
        registry.models.create("eurusd", "regression")
    model_registry_backend.ports.database._writer.raw.execute(CHANGE)  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="somebody else"):
        watching.__exit__(None, None, None)


def test_nothing_is_noticed_where_nothing_was_changed(model_registry_backend: TestBackend) -> None:
    """So the one above fails for its cause."""
    with checked_logs(), model_registry_backend.registry() as registry:
        registry.models.create("eurusd", "regression")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_change_behind_the_log_is_noticed_when_a_server_ends(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    """Its database is closed before the test ends."""
    url = request.getfixturevalue("postgres_url") if engine == "postgres" else ""
    watching = checked_logs()
    watching.__enter__()
    with running(Settings(data=tmp_path, port=0, access_log=False, database_url=url)) as address:
        token = (tmp_path / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=address, token=token)) as registry:
            registry.models.create("eurusd", "regression")
        if url:
            asyncio.run(_changed(url))
        else:
            with contextlib.closing(apsw.Connection(str(tmp_path / "registry.sqlite3"))) as raw:
                raw.execute(CHANGE)
    with pytest.raises(AssertionError, match="somebody else"):
        watching.__exit__(None, None, None)


async def _changed(url: str) -> None:
    raw = await asyncpg.connect(url)
    await raw.execute(CHANGE)
    await raw.close()
