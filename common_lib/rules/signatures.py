"""Checks of the signature of a version: its limits, and whether it is compatible with another signature.

A signature is a mapping with inputs and outputs; each is a list of fields with name, dtype and shape.
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
    """Check that a signature is not too large, and that its inputs and its outputs have valid and unique names.

    Raises:
        RuleViolation: the signature breaks a rule; `field` is the wrong part.
    """
    for side, fields in signature.items():
        for field in fields:
            names.check_text(f"signature.{side}.name", field["name"], names.SHORT_TEXT_LENGTH)
            names.check_text(f"signature.{side}.dtype", field["dtype"], names.SHORT_TEXT_LENGTH)
        why = f"two {side} have this name"
        facts.check_unique(f"signature.{side}", (field["name"] for field in fields), why, code=Code.DUPLICATE_ENTRY)
    facts.check_size("signature", signature)


def find_incompatibility(new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """Return why callers of the old model cannot use the new one without changes; an empty text if they can.

    The new model must have exactly the inputs of the old model, and all its outputs. In the shapes, its inputs may
    accept more lengths, and its outputs may have fewer. It may have additional outputs.
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
    """Return whether every value of the field `value` is also allowed by the field `place`."""
    lengths, allowed = value["shape"], place["shape"]
    same = value["dtype"] == place["dtype"] and len(lengths) == len(allowed)
    return same and all(there in {here, ANY_LENGTH} for here, there in zip(lengths, allowed, strict=True))


def _format_field(field: Mapping[str, Any]) -> str:
    return f"{field['dtype']}{field['shape']}"
