"""UBJSON as XGBoost writes it, and invalid UBJSON with wrong lengths and wrong types of arrays."""

import random
import struct
from typing import Any, Final

_TYPES: Final = {
    "l": ("left_children", "right_children", "parents", "split_indices", "categories", "categories_nodes"),
    "L": ("categories_segments", "categories_sizes"),
    "U": ("default_left", "split_type"),
    "d": ("base_weights", "loss_changes", "split_conditions", "sum_hessian", "weights", "leaf_weights"),
}
_TYPE_OF: Final = {name: kind for kind, names in _TYPES.items() for name in names}
_FORMS: Final = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}


def write_ubjson(value: Any, chance: random.Random | None = None) -> bytes:
    """Write a JSON value as UBJSON; with some probability, lengths and types are wrong."""
    return _Writer(chance).value(value, "")


class _Writer:
    def __init__(self, chance: random.Random | None) -> None:
        self._chance = chance

    def value(self, value: Any, key: str) -> bytes:
        if value is None or isinstance(value, bool):
            return {None: b"Z", True: b"T", False: b"F"}[value]
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return b"L" + struct.pack(">q", value)
        if isinstance(value, int | float):
            return b"d" + _packed("f", value)
        if isinstance(value, str):
            return b"S" + self._text(value)
        if isinstance(value, dict):
            items = (self._text(name) + self.value(one, name) for name, one in value.items())
            return b"{" + b"".join(items) + b"}"
        return self._array(value, key)

    def _array(self, values: list[Any], key: str) -> bytes:
        kind = _TYPE_OF.get(key)
        if kind and self._lies():
            kind = self._chance.choice(sorted(_FORMS)) if self._chance else kind
        if kind and all(isinstance(one, int | float) for one in values):
            numbers = b"".join(_packed(_FORMS[kind], one) for one in values)
            return b"[$" + kind.encode() + b"#" + self._length(len(values)) + numbers
        return b"[#" + self._length(len(values)) + b"".join(self.value(one, "") for one in values)

    def _text(self, text: str) -> bytes:
        content = text.encode("utf-8", "replace")
        return self._length(len(content)) + content

    def _length(self, length: int) -> bytes:
        if self._lies() and self._chance:
            length = self._chance.choice((length - 1, length + 1, -1, 2**31, 2**62, 2**63 - 1))
        return b"L" + struct.pack(">q", length)

    def _lies(self) -> bool:
        return self._chance is not None and self._chance.random() < 0.01


def _packed(form: str, value: float) -> bytes:
    try:
        return struct.pack(f">{form}", value if form in "fd" else int(value))
    except (struct.error, OverflowError, ValueError):
        return struct.pack(f">{form}", 1)
