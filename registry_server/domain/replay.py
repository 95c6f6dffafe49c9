"""The state is what the events say it is."""

import json
from collections.abc import Iterable
from typing import Any

from common_lib.rules import canonical


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
                whole = {name: _whole(value, documents or {}) for name, value in fields.items()}
                state[key] = state.get(key, {}) | whole
    return state


def _whole(value: Any, documents: dict[str, bytes]) -> Any:
    if isinstance(value, dict) and "$part" in value:
        value = json.loads(documents[value["$part"]])
    return canonical.with_floats(value)
