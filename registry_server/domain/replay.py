"""The state is what the events say it is."""

import json
from collections.abc import Iterable
from typing import Any, Final

from common_lib.rules import canonical

# What objects of a kind did not have when the first events were written, and what they had in its place.
_ADDED: Final[dict[str, dict[str, Any]]] = {"blobs": {"quarantined_at": None}, "versions": {"recall": None}}


def replay(bodies: Iterable[bytes], documents: dict[str, bytes] | None = None) -> dict[str, dict[str, Any]]:
    """The state of the registry, key by key, out of the stored bytes of its events.

    `documents` holds the parts that were too large for their event, by digest.

    Raises:
        KeyError: a part is missing.
    """
    state: dict[str, dict[str, Any]] = {}
    for body in bodies:
        for key, fields in json.loads(body)["data"]["after"].items():
            if fields is None:
                del state[key]
            else:
                known = state.get(key) or added(key)
                state[key] = known | {name: whole(value, documents or {}) for name, value in fields.items()}
    return state


def added(key: str) -> dict[str, Any]:
    """Return the fields that an object had not when the first events were written, with their values."""
    return _ADDED.get(kind(key), {})


def kind(key: str) -> str:
    """What kind of object a key is of.

    >>> kind("models/eurusd-direction/versions/3")
    'versions'
    """
    return key.split("/")[-2]


def whole(value: Any, documents: dict[str, bytes]) -> Any:
    """A field's value as the object has it, out of what stands in its event.

    Raises:
        KeyError: a part is missing.
    """
    if isinstance(value, dict) and "$part" in value:
        value = json.loads(documents[value["$part"]])
    return canonical.with_floats(value)
