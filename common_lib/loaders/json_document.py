"""JSON, read so that there is one meaning only."""

import json
import math
import re
from typing import Any

from common_lib.rules.formats import BY_NAME

fault = BY_NAME["json"].fault
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def load(content: bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        ValueError: an object has a key twice, a number is NaN or beyond the largest double, a text holds a lone
            surrogate, or the bytes are not JSON in UTF-8.
    """
    text = content.decode("utf-8")
    value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    if _SURROGATE.search(content):
        # Only an escape can bring one in, and most of those are halves of a pair, which Python has joined.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is beyond the largest double")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
