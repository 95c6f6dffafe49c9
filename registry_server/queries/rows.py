"""Conversion between rows and Structs: the columns of a table are the fields of a Struct, in the same order."""

import types
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from registry_server.domain.base import from_micros, to_micros

T = TypeVar("T", bound=msgspec.Struct)
Convert = Callable[[Any], Any]


class Table(Generic[T]):
    """A table whose rows are Structs of one type. Times are stored as microseconds, composed values as JSON text."""

    def __init__(self, name: str, struct: type[T], *, derived: dict[str, str] | None = None) -> None:
        """Prepare the statements; `derived` maps fields without a column to the SQL that computes them."""
        self.name = name
        self._struct = struct
        self._derived = derived or {}
        fields = msgspec.structs.fields(struct)
        self.stored = [field.name for field in fields if field.name not in self._derived]
        self.select = ", ".join(self._derived.get(field.name, f"{name}.{field.name}") for field in fields)
        marks = ", ".join(f"?{n}" for n in range(1, len(self.stored) + 1))
        self.insert = f"INSERT INTO {name} ({', '.join(self.stored)}) VALUES ({marks})"
        types_by_name = {field.name: field.type for field in fields}
        readers = enumerate(_reader(field.type) for field in fields)
        self._readers = [(place, convert) for place, convert in readers if convert is not None]
        self._writers = [(field, _writer(types_by_name[field])) for field in self.stored]

    def read(self, row: Sequence[Any]) -> T:
        """Convert a row that was selected with `select` to a Struct."""
        values = list(row)
        for place, convert in self._readers:
            if values[place] is not None:
                values[place] = convert(values[place])
        return self._struct(*values)

    def values(self, entity: T) -> tuple[Any, ...]:
        """Return the values of an entity in the order of the placeholders in `insert`."""
        raw = [(getattr(entity, field), convert) for field, convert in self._writers]
        return tuple([value if convert is None or value is None else convert(value) for value, convert in raw])


def _required_type(declared: Any) -> Any:
    while True:
        if get_origin(declared) is Annotated:
            declared = get_args(declared)[0]
        elif get_origin(declared) in {Union, types.UnionType}:
            members = [member for member in get_args(declared) if member is not type(None)]
            if len(members) != 1:
                return declared
            declared = members[0]
        else:
            return declared


def _reader(declared: Any) -> Convert | None:
    plain = _required_type(declared)
    if plain in {str, int, bytes}:
        return None
    if plain is datetime:
        return from_micros
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return plain
    return msgspec.json.Decoder(plain).decode


def _writer(declared: Any) -> Convert | None:
    plain = _required_type(declared)
    if plain in {str, int, bytes}:
        return None
    if plain is datetime:
        return to_micros
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return str
    encode = msgspec.json.Encoder().encode
    return lambda value: encode(value).decode()
