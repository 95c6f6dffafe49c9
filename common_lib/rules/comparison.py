"""Comparison of the metrics, parameters, files and other parts of two versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from common_lib.rules.fields import AnswerBody, ModelName, Scalar, VersionNumber


class Part(StrEnum):
    """A part of a version; comparisons list the parts in this order."""

    ABOUT = "about"
    PARAMETERS = "parameters"
    METRICS = "metrics"
    SIGNATURE = "signature"
    LINEAGE = "lineage"
    FILES = "files"


class Change(StrEnum):
    """Change of an entry from the left to the right version."""

    EQUAL = "equal"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Difference(AnswerBody):
    """One entry in two compared versions: its value on each side, and how it changed from left to right."""

    part: Part
    name: str
    left: Scalar
    right: Scalar
    change: Change


@dataclass(frozen=True, slots=True)
class VersionDiff(AnswerBody):
    """The result of comparing two versions; equal entries are included."""

    model: ModelName
    left: VersionNumber
    right: VersionNumber
    items: list[Difference]


def compare(
    left: Mapping[Part, Mapping[str, Scalar]], right: Mapping[Part, Mapping[str, Scalar]]
) -> Iterator[Difference]:
    """Yield the differences, part by part: first the entries of the left version, then new entries of the right one.

    >>> [d.change.value for d in compare({Part.METRICS: {"a": 1}}, {Part.METRICS: {"b": 2}})]
    ['gone', 'new']
    """
    for part in Part:
        here, there = left.get(part, {}), right.get(part, {})
        for name in {**here, **there}:
            yield Difference(part, name, here.get(name), there.get(name), _change(name, here, there))


def describe_signature(signature: Mapping[str, Any] | None) -> dict[str, Scalar]:
    """Return the type and shape of each input and output, under its name.

    >>> describe_signature({"inputs": [{"name": "x", "dtype": "float64", "shape": [-1, 3]}], "outputs": []})
    {'input x': 'float64[-1, 3]'}
    """
    sides = (("input", signature["inputs"]), ("output", signature["outputs"])) if signature else ()
    fields = [(side, field) for side, fields in sides for field in fields]
    return {f"{side} {field['name']}": f"{field['dtype']}{field['shape']}" for side, field in fields}


def _change(name: str, here: Mapping[str, Scalar], there: Mapping[str, Scalar]) -> Change:
    if name not in here:
        return Change.NEW
    if name not in there:
        return Change.GONE
    # Python counts True as equal to 1; a parameter does not.
    same = here[name] == there[name] and isinstance(here[name], bool) == isinstance(there[name], bool)
    return Change.EQUAL if same else Change.CHANGED
