"""Loader for JSON. It refuses ambiguous documents, such as an object with the same key twice."""

import json
import math
import re
from typing import Any, Final

from common_lib.loaders.budget import Budget, bound_for
from common_lib.rules.formats import BY_NAME

# Bytes of memory for each kind of JSON value in CPython 3.11 to 3.14, measured and rounded up.
_VALUE: Final = 56  # a number, and its place in a list that grows
_LIST: Final = 104
_OBJECT: Final = 232
_PAIR: Final = 168
_TEXT: Final = 64
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not JSON, or None if they look like JSON.

    Raises:
        OverBudget: the values exceed the memory bound.
    """
    if reason := BY_NAME["json"].fault(content):
        return reason
    spend(content, Budget(bound_for(len(content), memory)))
    return None


def load(content: bytes) -> Any:
    """Parse a JSON document.

    Raises:
        ValueError: an object has the same key twice, a number is NaN or exceeds the largest double, a string holds a
            lone surrogate, or the bytes are not JSON in UTF-8.
    """
    text = content.decode("utf-8")
    value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_parse_finite)
    if _SURROGATE.search(content):
        # Only an escape can make a lone surrogate. Encoding fails on one; pairs were joined by Python.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text:.40} exceeds the largest double")
    return number


def parse(content: bytes, budget: Budget) -> Any:
    """Parse JSON and accept NaN and infinities in it, because C++ libraries write them.

    Raises:
        ValueError: the bytes are not JSON, or an object has the same key twice.
        OverBudget: the value exceeds the memory bound.
    """
    spend(content, budget)
    return json.loads(content.decode("utf-8"), object_pairs_hook=_unique_keys)


def spend(content: bytes, budget: Budget) -> None:
    """Spend memory for the values of a document. Their number is estimated from its brackets, commas and quotes.

    Raises:
        OverBudget: the total exceeds the bound.
    """
    budget.spend(len(content), "its bytes")
    width = 1 if content.isascii() else 4  # one character above U+FFFF makes all characters of a string 4 bytes wide
    budget.spend(2 * width * len(content), "its text")
    lists, objects = content.count(b"["), content.count(b"{")
    values = content.count(b",") + lists + objects + 1
    pairs, texts = content.count(b":"), content.count(b'"') // 2
    sizes = values * _VALUE + lists * _LIST + objects * _OBJECT + pairs * _PAIR + texts * _TEXT
    budget.spend(sizes, f"its {values} values")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object in the file has the same key twice")
    return found


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number in JSON")
