"""Convert the values of parameters, metadata and metrics to exactly equal JSON values, or refuse them.

| value | result |
| --- | --- |
| `None`, `bool`, `int`, `float`, `str` and their subclasses, such as `IntEnum` and `StrEnum` | the plain value |
| a numpy scalar, or a numpy array without dimensions, of bool, int, uint, float or str | the same value without numpy |
| `Decimal`, `Fraction` | the float that is exactly equal; refused if no float is |
| any other value; nan, infinity | refused |

A metric is a float. For a metric, bool and text are refused, and an integer that is not exactly equal to a float. This
module never imports numpy.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from common_lib.errors import InvalidRequest
from common_lib.rules.facts import MAX_DIGITS

Plain = str | int | float | bool | None
_NUMPY_KINDS: Final = "biufU"
_MAX_TEXT: Final = 200


def scalars(field: str, given: Any) -> dict[str, Plain] | None:
    """Return a mapping with all values converted to exactly equal JSON values; None for None.

    Raises:
        InvalidRequest: a key is not text, or a value has no equal JSON value. The error has a field such as
            `parameters.depth`.
    """
    return None if given is None else {key: scalar(f"{field}.{key}", value) for key, value in _items(field, given)}


def numbers(field: str, given: Any) -> dict[str, float] | None:
    """Return a mapping with all values converted to exactly equal floats; None for None.

    Raises:
        InvalidRequest: a key is not text, or no float is exactly equal to a value.
    """
    return None if given is None else {key: number(f"{field}.{key}", value) for key, value in _items(field, given)}


def texts(field: str, given: Any) -> dict[str, str] | None:
    """Return a mapping with all values converted to plain `str`; None for None.

    Raises:
        InvalidRequest: a key or a value is not text.
    """
    return None if given is None else {key: _text(f"{field}.{key}", value) for key, value in _items(field, given)}


def scalar(field: str, value: Any) -> Plain:
    """Return the JSON value that is exactly equal to a value.

    Raises:
        InvalidRequest: no JSON value is exactly equal.
    """
    found = _finite(field, value, "leave it out, or write it as text, such as 'nan'")
    if isinstance(found, int) and abs(found) >= 10**MAX_DIGITS:
        raise _violation(field, value, f"has more than {MAX_DIGITS} digits", "write it as text")
    return found


def number(field: str, value: Any) -> float:
    """Return the float that is exactly equal to a number.

    Raises:
        InvalidRequest: the value is not a finite number, or no float is exactly equal to it.
    """
    found = _finite(field, value, "leave it out")
    if found is None or isinstance(found, bool | str):
        raise _violation(field, value, "is not a number", "pass the measured number as a float")
    try:
        exact = float(found)
    except OverflowError:
        exact = math.inf
    if exact != found:
        raise _violation(field, value, "is not exactly equal to any float", "round it with float(…)")
    return exact


def exact_number(value: Any) -> Any:
    """Convert a number to the exactly equal float; return None, bool and text unchanged.

    Raises:
        ValueError: the value has another type, or no float is exactly equal to it.
    """
    if value is None or isinstance(value, bool | str):
        return value
    try:
        return number("value", value)
    except InvalidRequest as error:
        raise ValueError(error.detail) from None


def plain(value: Any) -> Any:
    """Convert a scalar of numpy or of a subclass to its plain Python value; return any other value unchanged."""
    found = _plain(value)
    return value if found is None else found


def _finite(field: str, value: Any, remedy: str) -> Plain:
    found = _plain(value)
    if found is None and value is not None:
        raise _violation(field, value, "is not a text, a number, True, False or None", _remedy(value))
    if isinstance(found, float) and not math.isfinite(found):
        raise _violation(field, value, "is not a finite number", remedy)
    return found


def _text(field: str, value: Any) -> str:
    found = _plain(value)
    if not isinstance(found, str):
        raise _violation(field, value, "is not a text", "pass str(…) of it")
    return found


def _plain(value: Any) -> Plain:
    """Return the equal value of type bool, int, float or str; None without an equal value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        # str(value) is not used, because a subclass such as an enum may override it. The same applies below.
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Decimal | Fraction):
        return _exact_float(value)
    return _of_numpy(value)


def _exact_float(value: Decimal | Fraction) -> float | None:
    try:
        found = float(value)
        return found if math.isfinite(found) and value == found else None
    except (ValueError, ArithmeticError):
        return None


def _of_numpy(value: Any) -> Plain:
    is_of_numpy = type(value).__module__.partition(".")[0] == "numpy"
    if not is_of_numpy or getattr(value, "ndim", None) != 0 or value.dtype.kind not in _NUMPY_KINDS:
        return None
    found = value.item()
    # `item` returns a long double unchanged.
    return found if type(found) in {bool, int, float, str} else None


def _items(field: str, given: Any) -> list[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise _violation(field, given, "is not a mapping", "pass a dict")
    found = []
    for key, value in given.items():
        if not isinstance(key, str):
            raise _violation(field, key, "is a key, but not a text", "pass str(…) of it")
        found.append((str.__str__(key), value))
    return found


def _remedy(value: Any) -> str:
    if isinstance(value, Decimal | Fraction):
        return "no float has exactly that value: round it with float(…), or pass it as text with str(…)"
    return "pass one of these; write nested values as text, for example with json.dumps"


def _violation(field: str, value: Any, why: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} is {_format_value(value)}: that {why}",
        code="invalid_request",
        remedy=remedy,
        field=field,
        value=value,
    )


def _format_value(value: Any) -> str:
    try:
        return f"{value!r:.{_MAX_TEXT}}"
    except Exception:  # noqa: BLE001 - the caller's own class, or an integer too long for Python to write out
        return f"a {type(value).__name__} that cannot be formatted"
