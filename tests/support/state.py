"""The state in the tables, for a comparison with the state that the events describe."""

import json
from typing import Any

from registry_server.core import aliases, approvals, artifacts, changes, models, policies, principals, versions
from registry_server.domain import timeline
from registry_server.domain.production import Tenure
from registry_server.domain.replay import decode_field, replay
from registry_server.queries.aliases import ALIASES
from registry_server.queries.approvals import APPROVALS
from registry_server.queries.artifacts import BLOBS
from registry_server.queries.models import MODELS
from registry_server.queries.policies import POLICIES
from registry_server.queries.principals import PRINCIPALS, TOKENS
from registry_server.queries.sql import Sql
from registry_server.queries.timeline import TENURES
from registry_server.queries.versions import VERSIONS

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


# Independent of the rules, so that a kind of decision that is missing there fails the check.
NO_DECISIONS = frozenset({"model.created", "model.updated", "version.created", "version.updated"})


async def stored(sql: Sql) -> dict[str, dict[str, Any]]:
    """Return every object of the registry by its key."""
    state: dict[str, dict[str, Any]] = {}
    for table, key in _KEYS:
        for row in await sql.fetch(f"SELECT {table.select} FROM {table.name}"):  # noqa: S608 - names of tables
            entity = table.read(row)
            state[key(entity)] = changes.to_fields(entity)
    return state


async def stored_timeline(sql: Sql) -> tuple[list[Tenure], list[tuple[str, int]]]:
    """Return the tenures and decisions in the tables beside the event log."""
    tenures = await sql.fetch(f"SELECT {TENURES.select} FROM tenures ORDER BY sequence")  # noqa: S608 - names of columns
    decisions = await sql.fetch("SELECT model, sequence FROM decisions ORDER BY sequence")
    return [TENURES.read(row) for row in tenures], [(row[0], row[1]) for row in decisions]


async def log(sql: Sql) -> tuple[list[bytes], dict[str, bytes]]:
    """Return the stored bytes of all events, and the documents that are stored separately because of their size."""
    documents = {row[0]: row[1] for row in await sql.fetch("SELECT digest, body FROM documents")}
    return [row[0] for row in await sql.fetch("SELECT body FROM events ORDER BY sequence")], documents


def assert_before_matches(bodies: list[bytes], documents: dict[str, bytes]) -> None:
    """Fail unless `before` of each event has the earlier values of all changed fields, and of no others.

    It is empty for a new object, and has all fields of a removed one.
    """
    state: dict[str, dict[str, Any]] = {}
    for body in bodies:
        event = json.loads(body)
        before, after = event["data"]["before"], event["data"]["after"]
        place = f"{event['type']} at {event['sequence']}"
        assert before.keys() <= after.keys(), f"{place}: an object of before is missing in after"
        for key, fields in after.items():
            was = {name: decode_field(value, documents) for name, value in before.get(key, {}).items()}
            now = None if fields is None else {name: decode_field(value, documents) for name, value in fields.items()}
            known = state.get(key)
            if known is None:
                assert was == {}, f"{place}: {key} did not exist before"
                assert now, f"{place}: {key} has values neither before nor after"
                state[key] = now
            elif now is None:
                assert was == known, f"{place}: {key} is removed, and before lacks some of its fields"
                del state[key]
            else:
                assert was == {name: known.get(name) for name in now}, f"{place}: {key} had other values before"
                assert all(was[name] != now[name] for name in now), f"{place}: {key} has fields that did not change"
                state[key] = known | now


def assert_decisions_are_recorded(bodies: list[bytes], decisions: list[tuple[str, int]]) -> None:
    """Fail unless the history has every event about a model, except creations and edits."""
    about = [json.loads(body) for body in bodies]
    of_models = [event for event in about if event["subject"].startswith("models/")]
    wanted = [event for event in of_models if event["type"].removeprefix("registry.") not in NO_DECISIONS]
    assert decisions == [(event["subject"].split("/")[1], int(event["sequence"])) for event in wanted]


async def assert_events_match_the_state(sql: Sql) -> None:
    """Fail unless the events match the state, the values before each event, the tenures and the decisions."""
    bodies, documents = await log(sql)
    assert replay(bodies, documents) == await stored(sql)
    assert_before_matches(bodies, documents)
    assert_decisions_are_recorded(bodies, (await stored_timeline(sql))[1])
    assert timeline.from_log(bodies, documents) == await stored_timeline(sql)
