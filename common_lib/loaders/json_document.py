"""JSON, read so that there is one meaning only."""

import json
import math
import re
from typing import Any, Final

from common_lib.loaders.budget import Budget, bound_for
from common_lib.rules.formats import BY_NAME

# Bytes of CPython 3.11 to 3.14 for each sign of JSON, rounded up; measured on files of one kind of value only.
_VALUE: Final = 56  # a number, and its place in a list that grows
_LIST: Final = 104
_OBJECT: Final = 232
_PAIR: Final = 168
_TEXT: Final = 64
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Say why the bytes cannot be JSON.

    Raises:
        OverBudget: the values would take more memory than they may.
    """
    if reason := BY_NAME["json"].fault(content):
        return reason
    spend(content, Budget(bound_for(len(content), memory)))
    return None


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


def parse(content: bytes, budget: Budget) -> Any:
    """Return the value of JSON with NaN and infinities, as libraries of C++ write it.

    Raises:
        ValueError: it is not JSON, or an object has a key twice.
        OverBudget: the value would take more memory than it may.
    """
    spend(content, budget)
    return json.loads(content.decode("utf-8"), object_pairs_hook=_once)


def spend(content: bytes, budget: Budget) -> None:
    """Count what the values in the bytes take at most, by the signs that begin them.

    Raises:
        OverBudget: that is more than is left.
    """
    budget.spend(len(content), "its bytes")
    width = 1 if content.isascii() else 4  # one character beyond the first plane widens all of a text
    budget.spend(2 * width * len(content), "its text")
    lists, objects = content.count(b"["), content.count(b"{")
    values = content.count(b",") + lists + objects + 1
    pairs, texts = content.count(b":"), content.count(b'"') // 2
    sizes = values * _VALUE + lists * _LIST + objects * _OBJECT + pairs * _PAIR + texts * _TEXT
    budget.spend(sizes, f"its {values} values")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")
