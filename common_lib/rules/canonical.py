"""Canonical bytes of JSON values (RFC 8785), for everything that is hashed.

Hashed bytes contain no floats. The float 0.1 is written as `{"$decimal": "0.1"}`, with the shortest text that is parsed
as the same float. Integers beyond 2**53 are written in the same way, because other readers of JSON would round them.
Keys that users choose cannot begin with `$`, so this form cannot be mistaken for data.
"""

import json
import math
from typing import Any, Final

_EXACT: Final = 2**53 - 1
# Most values are of these types; skipping the function call for them halves the time.
_TEXTS: Final = frozenset({str, bool, type(None)})
_in_order = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_sorting = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def encode(value: Any) -> bytes:
    """Return the canonical JSON of a value: UTF-8 without spaces, with keys sorted by their UTF-16 code units.

    Source: RFC 8785, sections 3.2.2 and 3.2.3.

    Raises:
        ValueError: the value contains a float, a lone surrogate or an integer beyond 2**53.

    >>> encode({"b": [1, True, None], "a": "é"}).decode()
    '{"a":"é","b":[1,true,null]}'
    """
    _check(value)
    return _serialize(value)


def encode_with_decimals(value: Any) -> bytes:
    """Return the canonical JSON of a value after `without_floats` has replaced its floats.

    Raises:
        ValueError: the value contains a lone surrogate, infinity or NaN.

    >>> encode_with_decimals({"auc": 0.75}).decode()
    '{"auc":{"$decimal":"0.75"}}'
    """
    # The result contains nothing that `encode` would refuse, so its check is skipped.
    return _serialize(without_floats(value))


def without_floats(value: Any) -> Any:
    """Replace each float, and each integer beyond 2**53, with `{"$decimal": text}`.

    >>> without_floats({"auc": 0.75, "epochs": 3})
    {'auc': {'$decimal': '0.75'}, 'epochs': 3}
    """
    if isinstance(value, dict):
        return {key: item if type(item) in _TEXTS else without_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) in _TEXTS else without_floats(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} cannot be represented in JSON")
        return {"$decimal": repr(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return {"$decimal": str(value)}
    return value


def with_floats(value: Any) -> Any:
    """Convert each `{"$decimal": text}` back to a number; the reverse of `without_floats`.

    >>> with_floats({"auc": {"$decimal": "0.75"}})
    {'auc': 0.75}
    """
    if isinstance(value, dict):
        if value.keys() == {"$decimal"} and isinstance(value["$decimal"], str):
            text = value["$decimal"]
            return int(text) if text.lstrip("-").isdigit() else float(text)
        return {key: with_floats(item) for key, item in value.items()}
    return [with_floats(item) for item in value] if isinstance(value, list | tuple) else value


def _check(value: Any) -> None:
    """Raise an error for a value that has no canonical bytes."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) not in _TEXTS:
                _check(item)
    elif isinstance(value, float):
        raise ValueError(f"float {value!r} has no canonical bytes; call without_floats() first")  # noqa: TRY004
    elif isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        raise ValueError(f"integer {value!r} is beyond 2**53; call without_floats() first")


def _serialize(value: Any) -> bytes:
    text = _sorting(value)
    if not text.isascii():
        # `json` sorts in C, by code points; only keys beyond ASCII can have another order.
        text = _in_order(_sort_keys(value))
    return text.encode()


def _sort_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sort_keys(value[key]) for key in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_sort_keys(item) for item in value]
    return value


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")
