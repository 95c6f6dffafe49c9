"""How two versions are compared: part by part, name by name."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from common_lib.rules.signatures import Signature

Scalar = str | int | float | bool | None


class Part(StrEnum):
    """A part of what is known of a version, in the order in which people read them."""

    ABOUT = "about"
    PARAMETERS = "parameters"
    METRICS = "metrics"
    SIGNATURE = "signature"
    LINEAGE = "lineage"
    FILES = "files"


class Change(StrEnum):
    """How the right one of two versions has something that either has."""

    EQUAL = "equal"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"


class Difference(NamedTuple):
    """One thing that either version has; what one lacks is None, as `change` tells."""

    part: Part
    name: str
    left: Scalar
    right: Scalar
    change: Change


def compared(
    left: Mapping[Part, Mapping[str, Scalar]], right: Mapping[Part, Mapping[str, Scalar]]
) -> Iterator[Difference]:
    """What either has, in the order of the left one, and then of the right one.

    >>> [d.change.value for d in compared({Part.METRICS: {"a": 1}}, {Part.METRICS: {"b": 2}})]
    ['gone', 'new']
    """
    for part in Part:
        here, there = left.get(part, {}), right.get(part, {})
        for name in {**here, **there}:
            yield Difference(part, name, here.get(name), there.get(name), _change(name, here, there))


def described(signature: Signature | None) -> dict[str, Scalar]:
    """Inputs and outputs of a signature by name, with type and shape."""
    sides = (("input", signature.inputs), ("output", signature.outputs)) if signature else ()
    return {f"{side} {field.name}": f"{field.dtype}{list(field.shape)}" for side, fields in sides for field in fields}


def _change(name: str, here: Mapping[str, Scalar], there: Mapping[str, Scalar]) -> Change:
    if name not in here:
        return Change.NEW
    if name not in there:
        return Change.GONE
    # True is 1 to Python, and not to those who set a parameter.
    same = here[name] == there[name] and isinstance(here[name], bool) == isinstance(there[name], bool)
    return Change.EQUAL if same else Change.CHANGED
