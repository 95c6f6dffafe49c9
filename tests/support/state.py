"""The state as the tables hold it, to be compared with the state that the events tell."""

from typing import Any

from registry_server.core import aliases, approvals, artifacts, changes, models, policies, principals, versions
from registry_server.domain import timeline
from registry_server.domain.production import Tenure
from registry_server.domain.replay import replay
from registry_server.infrastructure.records.aliases import ALIASES
from registry_server.infrastructure.records.approvals import APPROVALS
from registry_server.infrastructure.records.artifacts import BLOBS
from registry_server.infrastructure.records.models import MODELS
from registry_server.infrastructure.records.policies import POLICIES
from registry_server.infrastructure.records.principals import PRINCIPALS, TOKENS
from registry_server.infrastructure.records.timeline import TENURES
from registry_server.infrastructure.records.versions import VERSIONS
from registry_server.infrastructure.sql import Sql

_KEYS = (
    (MODELS, lambda row: models.key(row.name)),
    (VERSIONS, lambda row: versions.key(row.model, row.version)),
    (POLICIES, lambda row: policies.key(row.model)),
    (APPROVALS, lambda row: approvals.key(row.model, row.version, row.approver)),
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


async def noted(sql: Sql) -> tuple[list[Tenure], list[tuple[str, int]]]:
    """Tenures and decisions, as the tables beside the log hold them."""
    tenures = await sql.all(f"SELECT {TENURES.select} FROM tenures ORDER BY sequence")  # noqa: S608 - names of columns
    decisions = await sql.all("SELECT model, sequence FROM decisions ORDER BY sequence")
    return [TENURES.read(row) for row in tenures], [(row[0], row[1]) for row in decisions]


async def log(sql: Sql) -> tuple[list[bytes], dict[str, bytes]]:
    """The stored bytes of all events, and the parts that were too large for theirs."""
    documents = {row[0]: row[1] for row in await sql.all("SELECT digest, body FROM documents")}
    return [row[0] for row in await sql.all("SELECT body FROM events ORDER BY sequence")], documents


async def assert_events_tell_the_state(sql: Sql) -> None:
    """Fail unless `replay(events) == state`, and tenures and decisions are those that follow from the events."""
    bodies, documents = await log(sql)
    assert replay(bodies, documents) == await stored(sql)
    assert timeline.from_log(bodies, documents) == await noted(sql)
