"""How much the signature of a version may hold, and whether one can take the place of another."""

from collections.abc import Sequence
from typing import Final, Protocol

from common_lib.rules import facts, names
from common_lib.rules.codes import Code

MAX_FIELDS: Final = 256
MAX_DIMENSIONS: Final = 32
# -1 says that any length will do; beyond the largest, readers of JSON round.
ANY_LENGTH: Final = -1
MAX_LENGTH: Final = 2**53 - 1


class Field(Protocol):
    """One input or output."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def dtype(self) -> str:
        """The type of its elements."""

    @property
    def shape(self) -> Sequence[int]:
        """Its lengths, -1 for any."""


class Signature(Protocol):
    """What a model takes and what it gives."""

    @property
    def inputs(self) -> Sequence[Field]:
        """What it takes."""

    @property
    def outputs(self) -> Sequence[Field]:
        """What it gives."""


def check_signature(signature: Signature) -> None:
    """Refuse a signature whose names are not unique on each side, whose texts are not plain, or that is too large.

    A model takes its inputs by name: of two with the same name nobody can say which type it has.

    Raises:
        RuleViolation: naming the side and the place.
    """
    for side, fields in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for field in fields:
            names.check_text(f"signature.{side}.name", field.name, names.SHORT_TEXT_LENGTH)
            names.check_text(f"signature.{side}.dtype", field.dtype, names.SHORT_TEXT_LENGTH)
        why = f"is the name of two {side}"
        facts.check_unique(f"signature.{side}", (field.name for field in fields), why, code=Code.DUPLICATE_ENTRY)
    facts.check_size("signature", facts.signature_as_json(signature.inputs, signature.outputs))


def difference(new: Signature, old: Signature) -> str:
    """What keeps a model from taking the place of another without its users noticing; empty if nothing does.

    The new one must take all that the old one took, and nothing that it was not given before, and give all that the
    old one gave; it may take more lengths, give fewer, and give more outputs.
    """
    fed, wanted = _by_name(old.inputs), _by_name(new.inputs)
    given, gives = _by_name(old.outputs), _by_name(new.outputs)
    for name in sorted(fed.keys() ^ wanted.keys()):
        return f"input {name!r} is {'new' if name in wanted else 'gone'}"
    for name in sorted(given.keys() - gives.keys()):
        return f"output {name!r} is gone"
    for name, field in wanted.items():
        if not _fits(fed[name], field):
            return f"input {name!r} was {_told(fed[name])} and is {_told(field)}"
    for name, field in given.items():
        if not _fits(gives[name], field):
            return f"output {name!r} was {_told(field)} and is {_told(gives[name])}"
    return ""


def _by_name(fields: Sequence[Field]) -> dict[str, Field]:
    return {field.name: field for field in fields}


def _fits(value: Field, place: Field) -> bool:
    """Whether whatever has the one shape has the other too."""
    same = value.dtype == place.dtype and len(value.shape) == len(place.shape)
    return same and all(there in {here, ANY_LENGTH} for here, there in zip(value.shape, place.shape, strict=True))


def _told(field: Field) -> str:
    return f"{field.dtype}{list(field.shape)}"
