"""Changes: build the `before` and `after` of an event from the states of an entity before and after a write."""

from typing import Any

import msgspec

from registry_server.domain.events import Change


def to_fields(entity: msgspec.Struct) -> dict[str, Any]:
    """Return the state of an entity as JSON values, without the fields that the registry derives from other objects."""
    state: dict[str, Any] = msgspec.to_builtins(entity)
    state.pop("production_version", None)
    return state


def created(kind: str, key: str, entity: msgspec.Struct, *, reason: str = "") -> Change:
    """Return the change that records the creation of an entity: its new state as `after`."""
    return Change(kind, key, {}, {key: to_fields(entity)}, reason)


def changed(
    kind: str, *steps: tuple[str, msgspec.Struct, msgspec.Struct], reason: str = "", forced: bool = False
) -> Change:
    """Return the change that records new states of one or several entities.

    Each step is (key, before, after); the event is about the first one.
    """
    before, after = {}, {}
    for key, old, new in steps:
        was, now = to_fields(old), to_fields(new)
        differs = [name for name in now if was[name] != now[name]]
        before[key] = {name: was[name] for name in differs}
        after[key] = {name: now[name] for name in differs}
    return Change(kind, steps[0][0], before, after, reason, forced)


def removed(kind: str, key: str, entity: msgspec.Struct, *, reason: str = "", forced: bool = False) -> Change:
    """Return the change that records the removal of an entity: its last state as `before`."""
    return Change(kind, key, {key: to_fields(entity)}, {key: None}, reason, forced)
