"""The event log: one event for each change, stored in its final bytes."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from common_lib import ModelRegistry
from common_lib.errors import RequestRefused
from common_lib.rules import canonical
from common_lib.types.events import Event
from common_lib.types.policies import PromotionRules
from tests.support.steps import version_of


def _all(registry: ModelRegistry) -> list[Event]:
    found: list[Event] = []
    last = 0
    while events := registry.events.after(last, limit=1000):
        last = int(events[-1].sequence)
        found += events
    return found


def _of(registry: ModelRegistry, name: str) -> list[Event]:
    return [event for event in _all(registry) if event.subject.startswith(f"models/{name}")]


class Watched:
    """A model; after each change, its objects are compared with the event of that change."""

    def __init__(self, registry: ModelRegistry, name: str) -> None:
        self.registry = registry
        self.name = name
        self.seen: list[Event] = []
        self.last = int(_all(registry)[-1].sequence)

    def news(self) -> list[Event]:
        """Return the events of the model since the last call."""
        events = self.registry.events.after(self.last, limit=1000)
        self.last = int(events[-1].sequence) if events else self.last
        return [event for event in events if event.subject.startswith(f"models/{self.name}")]

    def state(self) -> dict[str, dict[str, Any]]:
        """Return each object of the model by its key, without fields that follow from other objects."""
        registry, name, root = self.registry, self.name, f"models/{self.name}"
        found = {f"{root}": registry.models.get(name).model_dump(mode="json", exclude={"production_version"})}
        for version in registry.versions.search(name, tombstoned=True):
            found[f"{root}/versions/{version.version}"] = version.model_dump(mode="json")
        for alias in registry.aliases.list_of_model(name):
            found[f"{root}/aliases/{alias.alias}"] = alias.model_dump(mode="json")
        policy = registry.policies.get(name)
        if policy.revision > 1:
            found[f"{root}/policy"] = policy.model_dump(mode="json")
        return found

    def act(self, kind: str, act: Callable[[], Any], *, reason: str = "", forced: bool = False) -> Event:
        """Run a change, and fail unless it writes one event that describes exactly what changed."""
        before = self.state()
        act()
        after, events = self.state(), self.news()
        assert [event.type for event in events] == [f"registry.{kind}"]
        (event,) = events
        keys = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        was: dict[str, Any] = {}
        now: dict[str, Any] = {}
        for key in keys:
            old, new = before.get(key, {}), after.get(key)
            differs = [
                field for field in old | (new or {}) if new is None or key not in before or old[field] != new[field]
            ]
            now[key] = None if new is None else {field: new[field] for field in differs}
            if key in before:
                was[key] = {field: old[field] for field in differs}
        assert _plain(event.data["before"]) == _plain(was)
        assert _plain(event.data["after"]) == _plain(now)
        assert (event.data["reason"], event.data["forced"]) == (reason, forced)
        assert event.actor == self.registry.principals.whoami().name
        assert event.subject in keys
        self.seen.append(event)
        return event

    def expect_no_change(self, act: Callable[[], Any]) -> None:
        """Run an action, and fail if anything changes or an event is written."""
        before = self.state()
        act()
        assert (self.state(), self.news()) == (before, [])


def _plain(value: Any) -> Any:
    """Return a value of an event or a response with times as datetimes."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in canonical.with_floats(value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return datetime.fromisoformat(value)
    return value


def test_every_change_writes_exactly_one_event(registry: ModelRegistry, name: str) -> None:
    """Events hold actor, action, reason, and each field before and after; refused and empty changes write none."""
    registry.models.create(name, "regression", tags={"team": "fx"})
    assert [event.type for event in _of(registry, name)] == ["registry.model.created"]
    watched, versions, aliases = Watched(registry, name), registry.versions, registry.aliases
    for number in (1, 2, 3):
        watched.act("version.created", lambda n=number: version_of(registry, name, b"%d" % n, metrics={"auc": n / 8}))  # type: ignore[misc]
        watched.act("version.staged", lambda n=number: versions.transition(name, n, "staging", revision=1))  # type: ignore[misc]
    promote, rollback = registry.production.promote, registry.production.rollback
    watched.act("version.promoted", lambda: promote(name, 1, reason="first", revision=2), reason="first")
    second = watched.act(
        "version.promoted", lambda: promote(name, 2, reason="it is better", revision=2), reason="it is better"
    )
    assert second.data["before"].keys() == {f"models/{name}/versions/{number}" for number in (1, 2)}
    watched.act("version.rolled_back", lambda: rollback(name, reason="it fails", replacing=2), reason="it fails")
    watched.act("model.updated", lambda: registry.models.update(name, revision=1, description="x", metadata={"a": 0.5}))
    watched.expect_no_change(lambda: registry.models.update(name, revision=2, description="x"))
    watched.expect_no_change(lambda: _refused(lambda: registry.models.update(name, revision=1, description="y")))
    update, rules = versions.update, PromotionRules(tags={"ok": None}, files=["*.bin"])
    watched.act("version.updated", lambda: update(name, 3, revision=2, tags={"a": "b"}, description="third"))
    watched.act("alias.set", lambda: aliases.create(name, "champion", 2))
    watched.act("alias.moved", lambda: aliases.move(name, "champion", 3, revision=1))
    watched.act(
        *("alias.deleted", lambda: aliases.delete(name, "champion", force=True, reason="unused")),
        reason="unused",
        forced=True,
    )
    put = registry.policies.put
    watched.act("policy.set", lambda: put(name, rules, reason="strict", revision=1), reason="strict")
    watched.act("policy.set", lambda: put(name, PromotionRules(), reason="lax", revision=2), reason="lax")
    watched.act("version.recalled", lambda: versions.recall(name, 3, reason="leak", revision=3), reason="leak")
    watched.act("version.reinstated", lambda: versions.reinstate(name, 3, reason="none", revision=4), reason="none")
    archive = versions.transition
    watched.act(
        "version.archived", lambda: archive(name, 1, "archived", reason="end", force=True), reason="end", forced=True
    )
    watched.act("version.tombstoned", lambda: versions.tombstone(name, 3, reason="gone", revision=5), reason="gone")
    watched.act("model.tombstoned", lambda: registry.models.tombstone(name, reason="over", revision=2), reason="over")
    published = [event.type.removeprefix("registry.") for event in watched.seen if "created" not in event.type]
    decided = [decision.what for decision in registry.production.history(name)][::-1]
    assert decided == [kind for kind in published if not kind.endswith(".updated")]


def _refused(act: Callable[[], Any]) -> None:
    with pytest.raises(RequestRefused):
        act()


def test_sequence_and_time_never_go_back(registry: ModelRegistry, name: str) -> None:
    """Sequences have no gap, and a later event never has an earlier time."""
    for number in range(3):
        registry.models.create(f"{name}-{number}", "regression")
    events = _all(registry)
    assert {f"models/{name}-{number}" for number in range(3)} <= {event.subject for event in events}
    sequences = [int(event.sequence) for event in events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert all(len(event.sequence) == 20 for event in events)
    assert len({event.source for event in events}) == 1
    assert all(earlier.time < later.time for earlier, later in pairwise(events))


def test_large_facts_are_stored_beside_the_event(registry: ModelRegistry, name: str) -> None:
    """An event stays within 16 KiB, and its replay gives the whole state, as the fixture checks."""
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
