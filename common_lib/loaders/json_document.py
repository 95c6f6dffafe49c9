"""JSON, read so that there is one meaning only."""

import json
from typing import Any

from common_lib.rules.formats import BY_NAME

fault = BY_NAME["json"].fault


def load(content: bytes) -> Any:
    """The value; a key twice in an object, NaN and infinities are no JSON."""
    return json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
