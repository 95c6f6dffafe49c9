"""Replay: rebuild the state of the registry from its events."""

import json
from collections.abc import Iterable
from typing import Any, Final

from common_lib.rules import canonical

# Fields that were added to objects of a kind after the first events were written, with their values before.
_ADDED_FIELDS: Final[dict[str, dict[str, Any]]] = {"blobs": {"quarantined_at": None}, "versions": {"recall": None}}


def replay(bodies: Iterable[bytes], documents: dict[str, bytes] | None = None) -> dict[str, dict[str, Any]]:
    """Return the fields of each object of the registry, computed from the stored bytes of all events.

    `documents` maps digests to the parts that were too large for their events.

    Raises:
        KeyError: a part is missing.
    """
    state: dict[str, dict[str, Any]] = {}
    for body in bodies:
        for key, fields in json.loads(body)["data"]["after"].items():
            if fields is None:
                del state[key]
            else:
                known = state.get(key) or initial_fields(key)
                state[key] = known | {name: decode_field(value, documents or {}) for name, value in fields.items()}
    return state


def initial_fields(key: str) -> dict[str, Any]:
    """Return fields that a later release added to objects of this kind, with the values that old objects have."""
    return _ADDED_FIELDS.get(parse_kind(key), {})


def parse_kind(key: str) -> str:
    """Return the kind of object that a key refers to.

    >>> parse_kind("models/eurusd-direction/versions/3")
    'versions'
    """
    return key.split("/")[-2]


def decode_field(value: Any, documents: dict[str, bytes]) -> Any:
    """Decode the value of a field from its form in an event; a part is replaced by its content.

    Raises:
        KeyError: a part is missing.
    """
    if isinstance(value, dict) and "$part" in value:
        value = json.loads(documents[value["$part"]])
    return canonical.with_floats(value)
