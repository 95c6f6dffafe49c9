"""Loader for safetensors files. They contain only named arrays of numbers, so they cannot run code."""

import struct
from math import prod
from typing import Any, Final

from common_lib.loaders import json_document
from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

_COPIES: Final = 3  # of the tensors: the file's bytes, the library's slices, and the arrays
_TENSOR: Final = 2_000  # bytes of a tensor with its name, its shape and its array
_NUMBER: Final = 64
_HEADER: Final = 6  # times the text of the header
_MAX_DIMENSIONS: Final = 64  # of a numpy array
_LARGEST: Final = 2**63
_BITS: Final = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a valid safetensors file, or None if they are valid.

    Raises:
        OverBudget: the tensors exceed the memory bound.
    """
    if reason := BY_NAME["safetensors"].fault(content):
        return reason
    budget = Budget(bound_for(len(content), memory))
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    budget.spend(_COPIES * len(content) + _HEADER * length, "its bytes")
    budget.spend(header.count(b"{") * _TENSOR + header.count(b",") * _NUMBER, "the tensors of its header")
    try:
        return _check(json_document.parse(header, budget), len(content) - 8 - length)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return f"the header of the file cannot be read: {type(error).__name__}: {error!s:.200}"


def _check(header: dict[str, Any], size: int) -> str | None:
    """Return what is wrong with the tensors of a header, or None. Each byte must belong to exactly one tensor."""
    about = header.pop("__metadata__", {})
    if not all(isinstance(text, str) for text in about.values()):
        return "the metadata in its header are not strings"
    place = 0
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        (start, end), shape = tensor["data_offsets"], tensor["shape"]
        if not all(type(number) is int and 0 <= number < _LARGEST for number in (start, end, *shape)):
            return f"the tensor {name!r:.100} has an invalid shape or offset"
        # A product of a million numbers would take hours.
        if len(shape) > _MAX_DIMENSIONS:
            return f"the tensor {name!r:.100} has too many dimensions: {len(shape)}"
        bits = _BITS[tensor["dtype"]] * prod(shape)
        if start != place or bits != 8 * (end - start):
            return f"the offsets of the tensor {name!r:.100} do not match its shape and type"
        place = end
    return None if place == size else f"the tensors cover only {place} of {size} bytes"


def load(content: bytes) -> dict[str, Any]:
    """Return a dict from the name of each array to the numpy array."""
    arrays: dict[str, Any] = library("safetensors.numpy", extra="safetensors").load(content)
    return arrays
