"""The state as the tables hold it, to be compared with the state that the events tell."""

from typing import Any

from registry_server.core import aliases, artifacts, changes, models, principals, versions
from registry_server.domain.replay import replay
from registry_server.infrastructure.records.aliases import ALIASES
from registry_server.infrastructure.records.artifacts import BLOBS
from registry_server.infrastructure.records.models import MODELS
from registry_server.infrastructure.records.principals import PRINCIPALS, TOKENS
from registry_server.infrastructure.records.versions import VERSIONS
from registry_server.infrastructure.sql import Sql

_KEYS = (
    (MODELS, lambda row: models.key(row.name)),
    (VERSIONS, lambda row: versions.key(row.model, row.version)),
    (ALIASES, lambda row: aliases.key(row.model, row.alias)),
    (BLOBS, lambda row: artifacts.key(row.sha256)),
    (PRINCIPALS, lambda row: principals.key(row.name)),
    (TOKENS, lambda row: principals.token_key(row.id)),
)


async def stored(sql: Sql) -> dict[str, dict[str, Any]]:
    """Every object of the registry by its key."""
    state: dict[str, dict[str, Any]] = {}
    for table, key in _KEYS:
        for row in await sql.all(f"SELECT {table.select} FROM {table.name}"):  # noqa: S608 - names of tables
            entity = table.read(row)
            state[key(entity)] = changes.fields(entity)
    return state


async def told(sql: Sql) -> dict[str, dict[str, Any]]:
    """The same, out of the events alone."""
    documents = {row[0]: row[1] for row in await sql.all("SELECT digest, body FROM documents")}
    bodies = [row[0] for row in await sql.all("SELECT body FROM events ORDER BY sequence")]
    return replay(bodies, documents)


async def assert_events_tell_the_state(sql: Sql) -> None:
    """Fail unless `replay(events) == state`."""
    assert await told(sql) == await stored(sql)
