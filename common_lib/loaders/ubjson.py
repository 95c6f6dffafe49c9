"""Parser of Universal Binary JSON as XGBoost writes it. A length beyond the end of the bytes is refused.

XGBoost's own parser does not check the lengths in a file, and a wrong length can crash the process.
Source: https://ubjson.org, Draft 12; XGBoost writes float32 as `d`.
"""

import struct
import sys
from array import array
from typing import Any, Final

from common_lib.loaders.budget import Budget, bound_for

_NUMBERS: Final = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}  # codes of `array`
_DEPTH: Final = 64


_VALUE: Final = 64  # bytes that a value takes, with its slot in a growing list
_OBJECT: Final = 232
_TEXT: Final = 128


def parse(content: bytes, budget: Budget | None = None) -> Any:
    """Parse one value; convert each typed array of numbers to an `array.array`.

    Raises:
        ValueError: the bytes are not exactly one complete value.
        OverBudget: the value exceeds the memory bound.
    """
    budget = budget or Budget(bound_for(len(content)))
    budget.spend(2 * len(content), "its bytes")
    reader = _Reader(content, budget)
    value = reader.value(reader.marker(), 0)
    if reader.place != len(content):
        raise ValueError("there are bytes after the end of the value")
    return value


class _Reader:
    def __init__(self, content: bytes, budget: Budget) -> None:
        self._content = content
        self._budget = budget
        self.place = 0

    def marker(self) -> str:
        return self._take(1).decode("latin-1")

    def value(self, marker: str, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError("the values are nested too deeply")
        self._budget.spend(_VALUE, "its values")
        if marker in _NUMBERS:
            return self._numbers(marker, 1)[0]
        if marker in "TFZ":
            return {"T": True, "F": False, "Z": None}[marker]
        if marker == "S":
            return self._text()
        if marker == "[":
            return self._array(depth)
        if marker == "{":
            return self._object(depth)
        raise ValueError(f"{marker!r} is not the type of a value in UBJSON")

    def _array(self, depth: int) -> "list[Any] | array[Any]":
        marker = self.marker()
        if marker == "$":
            kind = self.marker()
            if kind not in _NUMBERS or self.marker() != "#":
                raise ValueError("a typed array has elements that are not numbers")
            return self._numbers(kind, self._length())
        if marker == "#":
            return [self.value(self.marker(), depth + 1) for _ in range(self._length())]
        found = []
        while marker != "]":
            found.append(self.value(marker, depth + 1))
            marker = self.marker()
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._budget.spend(_OBJECT, "its objects")
        while self._content[self.place : self.place + 1] != b"}":
            key = self._text()
            if key in found:
                raise ValueError(f"an object has the key {key!r} twice")
            found[key] = self.value(self.marker(), depth + 1)
        self._take(1)
        return found

    def _text(self) -> str:
        length = self._length()
        self._budget.spend(_TEXT + 4 * length, "its texts")
        return self._take(length).decode("utf-8")

    def _length(self) -> int:
        marker = self.marker()
        # XGBoost misreads a length of any other type.
        if marker != "L":
            raise ValueError("a length is not stored as a 64-bit integer")
        (length,) = struct.unpack(">q", self._take(8))
        if not 0 <= length <= len(self._content) - self.place:
            raise ValueError("a length exceeds the number of bytes that follow")
        return int(length)

    def _numbers(self, marker: str, count: int) -> "array[Any]":
        numbers = array(_NUMBERS[marker])
        self._budget.spend(count * numbers.itemsize, "its numbers")
        numbers.frombytes(self._take(count * numbers.itemsize))
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    def _take(self, length: int) -> bytes:
        taken = self._content[self.place : self.place + length]
        if len(taken) < length:
            raise ValueError("the file ends before its last value is complete")
        self.place += length
        return taken
