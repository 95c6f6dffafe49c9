"""Limits of the descriptive fields of models and versions, such as tags, metadata and metrics.

A page of a list contains up to a thousand models or versions, so each must be small. Larger data belongs in a file of a
version.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, Final

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

KIB: Final = 1024
# Maximum size of each field as JSON in UTF-8.
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
    """Check that the texts, tags, metadata, parameters and metrics of a model or version are within their limits.

    Raises:
        RuleViolation: a field is too large or contains a forbidden value.
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
    """Check that the JSON of a value is not larger than the limit of its field.

    Raises:
        RuleViolation: `field_too_large`; the text contains the size and the limit.
    """
    limit = MAX_BYTES[field]
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > limit:
        raise RuleViolation(
            Code.FIELD_TOO_LARGE,
            field=field,
            value=size,
            why=f"the value has {size} bytes as JSON, but at most {limit} are allowed",
            remedy="shorten the value, or store it in a file of a version",
        )


def check_unique(field: str, values: Iterable[str], why: str, *, code: Code) -> None:
    """Check that no value occurs twice in a list; `why` is the beginning of the error text.

    Raises:
        RuleViolation: a value occurs twice; `field` contains the index of the second occurrence.
    """
    seen: dict[str, int] = {}
    for place, value in enumerate(values):
        if value in seen:
            raise RuleViolation(
                code,
                field=f"{field}[{place}]",
                value=value,
                why=f"{why}; the first entry is at index {seen[value]}",
                remedy="remove or rename one of the two entries",
            )
        seen[value] = place


def check_integer(field: str, value: int) -> None:
    """Refuse an integer with more than 100 digits, because many programs cannot read such integers in JSON."""
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise RuleViolation(
            Code.INVALID_REQUEST,
            field=field,
            # Python refuses to format an integer with more than 4,300 digits.
            value=f"an integer of {value.bit_length()} bits",
            why=f"the integer has more than {MAX_DIGITS} digits",
            remedy="send the integer as a string",
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
            why="JSON cannot represent this number",
            remedy="leave out the number, or send it as a string",
        )
