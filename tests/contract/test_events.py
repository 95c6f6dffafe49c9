"""The log: one event for each change, in its final bytes."""

import json
from itertools import pairwise

import pytest

from common_lib import ModelRegistry
from common_lib.errors import RequestRefused
from common_lib.rules import canonical
from common_lib.values import Event
from tests.support.steps import promoted, version_of


def _all(registry: ModelRegistry) -> list[Event]:
    found: list[Event] = []
    last = 0
    while events := registry.events.after(last, limit=1000):
        last = int(events[-1].sequence)
        found += events
    return found


def _of(registry: ModelRegistry, name: str) -> list[Event]:
    return [event for event in _all(registry) if event.subject.startswith(f"models/{name}")]


def test_every_change_is_exactly_one_event(registry: ModelRegistry, name: str) -> None:
    """Who, what, why and what was before; refused requests and changes of nothing leave none."""
    registry.models.create(name, "regression")
    promoted(registry, name, b"one")
    promoted(registry, name, b"two")
    registry.models.update(name, revision=1, description="x")
    registry.models.update(name, revision=2, description="x")
    with pytest.raises(RequestRefused):
        registry.models.update(name, revision=1, description="y")
    registry.aliases.create(name, "champion", 2)
    registry.aliases.delete(name, "champion", force=True, reason="unused")
    events = _of(registry, name)
    assert [event.type.removeprefix("registry.") for event in events] == [
        "model.created",
        *["version.created", "version.staged", "version.promoted"] * 2,
        "model.updated",
        "alias.set",
        "alias.deleted",
    ]
    second = events[6]
    assert second.data["reason"] == "it is better"
    assert second.actor == registry.principals.whoami().name
    assert {key: fields["stage"] for key, fields in second.data["after"].items()} == {
        f"models/{name}/versions/2": "production",
        f"models/{name}/versions/1": "archived",
    }
    assert second.data["before"][f"models/{name}/versions/1"]["stage"] == "production"
    assert [event.data["forced"] for event in events[-2:]] == [False, True]


def test_sequence_and_time_never_go_back(registry: ModelRegistry, name: str) -> None:
    """Sequences have no gap, and of two events the later one has the later time."""
    for number in range(3):
        registry.models.create(f"{name}-{number}", "regression")
    events = _all(registry)
    assert {f"models/{name}-{number}" for number in range(3)} <= {event.subject for event in events}
    sequences = [int(event.sequence) for event in events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert all(len(event.sequence) == 20 for event in events)
    assert len({event.source for event in events}) == 1
    assert all(earlier.time < later.time for earlier, later in pairwise(events))


def test_large_facts_move_out_of_the_event(registry: ModelRegistry, name: str) -> None:
    """An event stays within 16 KiB; replaying it still gives the whole state, as the fixture checks."""
    registry.models.create(
        name, "regression", description="d" * 10_000, metadata={f"k{n}": "v" * 900 for n in range(50)}
    )
    version_of(registry, name, parameters={f"p{n}": n + 0.5 for n in range(250)})
    created, versioned = _of(registry, name)
    for event in (created, versioned):
        assert len(canonical.encode(json.loads(event.model_dump_json()))) < 17_000
    fields = created.data["after"][f"models/{name}"]
    assert fields["metadata"]["$part"].startswith("sha256:")
    assert fields["metadata"]["size"] > 40_000
    assert fields["name"] == name
