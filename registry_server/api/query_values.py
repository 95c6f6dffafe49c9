"""Strict checks of query parameters: Litestar would accept `null` as absent, `1e3` as 1000 and `TRUE` as true."""

import re
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

from registry_server.domain import errors

_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
# The parser of times checks the rest; without this pattern it would read a bare number as seconds since 1970.
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt].*", re.DOTALL)
_BOOLEANS: Final = ("true", "false")
# Invalid and empty values of these parameters are refused later, with their own error codes.
_REFUSED_LATER: Final = frozenset({"page_token"})


def check_value(name: str, declared: Any, value: str) -> None:
    """Check that a value is of the declared type; any text except the empty text is valid.

    Raises:
        ParameterInvalid, ParameterEmpty: the value is not of that type.

    >>> check_value("limit", int, "100")
    >>> check_value("limit", int, "1e2")
    Traceback (most recent call last):
    registry_server.domain.errors.requests.ParameterInvalid: limit '1e2' is not a whole number
    """
    kind = _kind(declared)
    if not value and declared is not str and name not in _REFUSED_LATER:
        raise errors.ParameterEmpty(name)
    if kind is int and not _WHOLE.fullmatch(value):
        raise errors.ParameterInvalid(name, value, "a whole number", "digits, such as 100")
    if kind is bool and value not in _BOOLEANS:
        raise errors.ParameterInvalid(name, value, "a boolean", " or ".join(_BOOLEANS))
    if kind is datetime and not _DAY.fullmatch(value):
        raise errors.ParameterInvalid(name, value, "a time with a time zone", "it as 2026-03-01T00:00:00Z")
    if issubclass(kind, StrEnum) and value not in set(kind):
        raise errors.ParameterInvalid(name, value, "one of the allowed values", f"one of {', '.join(kind)}")


def _kind(declared: Any) -> Any:
    """Return the type of a parameter without `None`; return `list` for a list of any type."""
    if get_origin(declared) is UnionType:
        (declared,) = (one for one in get_args(declared) if one is not NoneType)
    return get_origin(declared) or declared
