"""Limits of the facts of a model or a version: characters, entries, digits and bytes.

A page of a list holds up to a thousand models or versions, so each of them must be small. What is larger belongs into a
file of a version.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, Final

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

KIB: Final = 1024
# The longest values as JSON in UTF-8.
MAX_BYTES: Final = {
    "description": 32 * KIB,
    "tags": 32 * KIB,
    "metadata": 64 * KIB,
    "parameters": 64 * KIB,
    "metrics": 64 * KIB,
    "signature": 128 * KIB,
}
MAX_DIGITS: Final = 100
_TOO_LARGE: Final = 10**MAX_DIGITS
_TEXTS: Final = {
    "owner": names.SHORT_TEXT_LENGTH,
    "framework": names.SHORT_TEXT_LENGTH,
    "description": names.DESCRIPTION_LENGTH,
}


def check_facts(**facts: Any) -> None:
    """Refuse texts, tags, scalars and metrics of a model or a version that are beyond their limits.

    Raises:
        RuleViolation: naming the field, and its size and limit where that is the reason.
    """
    for field, value in facts.items():
        if field in _TEXTS:
            names.check_text(field, value, _TEXTS[field])
        elif field == "tags":
            names.check_tags(value)
        else:
            names.check_keys(field, value)
            for key, entry in value.items():
                _check_entry(f"{field}.{key}", entry)
    for field in MAX_BYTES.keys() & facts.keys():
        check_size(field, facts[field])


def check_size(field: str, value: Any) -> None:
    """Refuse a value whose JSON has more bytes than the field may have.

    Raises:
        RuleViolation: `field_too_large`, naming the size and the limit.
    """
    limit = MAX_BYTES[field]
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > limit:
        raise RuleViolation(
            Code.FIELD_TOO_LARGE,
            field=field,
            value=size,
            why=f"has {size} bytes as JSON, but at most {limit} are allowed",
            remedy="shorten it, or store it in a file of a version",
        )


def check_unique(field: str, values: Iterable[str], why: str, *, code: Code) -> None:
    """Refuse a list that stands for a map if two of its entries have the same key.

    Raises:
        RuleViolation: naming the second entry by its place, and the key.
    """
    seen: dict[str, int] = {}
    for place, value in enumerate(values):
        if value in seen:
            raise RuleViolation(
                code,
                field=f"{field}[{place}]",
                value=value,
                why=f"{why}, first at index {seen[value]}",
                remedy="remove or rename one of the two entries",
            )
        seen[value] = place


def check_integer(field: str, value: int) -> None:
    """Refuse an integer with more than 100 digits: readers of JSON cannot take it, and Python stops at 4,300."""
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise RuleViolation(
            Code.INVALID_REQUEST,
            field=field,
            # Not written out: beyond 4,300 digits Python refuses to.
            value=f"an integer of {value.bit_length()} bits",
            why=f"has more than {MAX_DIGITS} digits",
            remedy="send it as a string",
        )


def _check_entry(field: str, value: Any) -> None:
    if isinstance(value, str):
        names.check_text(field, value, names.SCALAR_LENGTH)
    elif value is not None:
        _check_number(field, value)


def _check_number(field: str, value: float) -> None:
    if isinstance(value, int):
        check_integer(field, value)
    elif not math.isfinite(value):
        raise RuleViolation(
            Code.INVALID_REQUEST,
            field=field,
            value=repr(value),
            why="is not a number that JSON can represent",
            remedy="leave it out, or send it as a string",
        )
