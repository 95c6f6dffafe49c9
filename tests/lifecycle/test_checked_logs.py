"""The check after each writing test, that the replayed events equal the state, detects a difference."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import running
from registry_server.settings import Settings
from registry_server.testing import TestBackend
from tests.support.logs import checked_logs
from tests.support.state import assert_before_matches, assert_decisions_are_recorded

CHANGE = "UPDATE models SET owner = 'somebody else'"

pytestmark = pytest.mark.damages


def test_a_change_behind_the_log_is_noticed_in_memory(model_registry_backend: TestBackend) -> None:
    """The database is still open when the test ends."""
    watching = checked_logs()
    watching.__enter__()
    with model_registry_backend.registry() as registry:
        registry.models.create("eurusd", "regression")
    model_registry_backend.env.database._writer.raw.execute(CHANGE)  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="somebody else"):
        watching.__exit__(None, None, None)


def test_nothing_is_noticed_where_nothing_was_changed(model_registry_backend: TestBackend) -> None:
    """Without the change the test above would pass."""
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


def event(kind: str, before: dict[str, Any], after: dict[str, Any], subject: str = "models/m") -> bytes:
    """Return the stored bytes of an event, as far as the check reads them."""
    fields = {
        "type": f"registry.{kind}",
        "sequence": "1",
        "subject": subject,
        "data": {"before": before, "after": after},
    }
    return json.dumps(fields).encode()


CREATED = event("model.created", {}, {"models/m": {"owner": "a", "tags": {}}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"models/m": {"owner": "b"}}),
        ({"models/m": {}}, {"models/m": {"owner": "b"}}),
        ({"models/m": {"owner": "c"}}, {"models/m": {"owner": "b"}}),
        ({"models/m": {"owner": "a", "tags": {}}}, {"models/m": {"owner": "b"}}),
        ({"models/m": {"owner": "a"}}, {"models/m": {"owner": "a"}}),
        ({"models/m": {"owner": "a"}}, {"models/m": None}),
        ({"models/n": {"owner": "a"}}, {"models/n": {"owner": "b"}}),
        ({"models/m": {"owner": "a"}}, {}),
    ],
)
def test_a_before_that_is_not_the_state_is_noticed(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A field is missing, different, additional or unchanged, or the entity never existed."""
    with pytest.raises(AssertionError):
        assert_before_matches([CREATED, event("model.updated", before, after)], {})
    good = event("model.updated", {"models/m": {"owner": "a"}}, {"models/m": {"owner": "b"}})
    assert_before_matches([CREATED, good], {})


def test_a_decision_that_is_not_noted_is_noticed() -> None:
    """This holds for every kind of decision."""
    deleted = event("alias.deleted", {}, {}, "models/m/aliases/champion")
    with pytest.raises(AssertionError):
        assert_decisions_are_recorded([CREATED, deleted], [])
    assert_decisions_are_recorded([CREATED, deleted], [("m", 1)])
