"""Limits of the signature of a version, and whether a signature can replace another.

A signature is the mapping that its JSON form has: inputs and outputs, each a list of fields with name, dtype and shape.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from common_lib.rules import facts, names
from common_lib.rules.codes import Code

MAX_FIELDS: Final = 256
MAX_DIMENSIONS: Final = 32
# -1 stands for any length; beyond the largest length, readers of JSON round.
ANY_LENGTH: Final = -1
MAX_LENGTH: Final = 2**53 - 1


def check_signature(signature: Mapping[str, Any]) -> None:
    """Refuse a signature whose names are not unique on each side, whose texts are not plain, or that is too large.

    A model takes its inputs by name: if two had the same name, the type of the input would be unknown.

    Raises:
        RuleViolation: naming the side and the place.
    """
    for side, fields in signature.items():
        for field in fields:
            names.check_text(f"signature.{side}.name", field["name"], names.SHORT_TEXT_LENGTH)
            names.check_text(f"signature.{side}.dtype", field["dtype"], names.SHORT_TEXT_LENGTH)
        why = f"is the name of two {side}"
        facts.check_unique(f"signature.{side}", (field["name"] for field in fields), why, code=Code.DUPLICATE_ENTRY)
    facts.check_size("signature", signature)


def find_incompatibility(new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """Return why a model cannot replace another without changes at its users; empty if it can.

    The new model must accept every input of the old one and need no others, and must return every output of the old
    one. It may accept more lengths, return fewer lengths, and return more outputs.
    """
    old_inputs, new_inputs = _by_name(old["inputs"]), _by_name(new["inputs"])
    old_outputs, new_outputs = _by_name(old["outputs"]), _by_name(new["outputs"])
    for name in sorted(old_inputs.keys() ^ new_inputs.keys()):
        return f"input {name!r} is {'new' if name in new_inputs else 'gone'}"
    for name in sorted(old_outputs.keys() - new_outputs.keys()):
        return f"output {name!r} is gone"
    for name, field in new_inputs.items():
        if not _fits(old_inputs[name], field):
            return f"input {name!r} was {_format_field(old_inputs[name])} and is {_format_field(field)}"
    for name, field in old_outputs.items():
        if not _fits(new_outputs[name], field):
            return f"output {name!r} was {_format_field(field)} and is {_format_field(new_outputs[name])}"
    return ""


def _by_name(fields: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {field["name"]: field for field in fields}


def _fits(value: Mapping[str, Any], place: Mapping[str, Any]) -> bool:
    """Return whether every value of one field is a value of the other."""
    lengths, allowed = value["shape"], place["shape"]
    same = value["dtype"] == place["dtype"] and len(lengths) == len(allowed)
    return same and all(there in {here, ANY_LENGTH} for here, there in zip(lengths, allowed, strict=True))


def _format_field(field: Mapping[str, Any]) -> str:
    return f"{field['dtype']}{field['shape']}"
