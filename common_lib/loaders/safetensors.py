"""Named arrays by safetensors: numbers and their shapes, nothing else."""

import struct
from typing import Any, Final

from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

_COPIES: Final = 3  # of the tensors: the bytes, those that the library cuts out, and the arrays
_TENSOR: Final = 2_000  # bytes of a tensor with its name, its shape and its array
_NUMBER: Final = 64
_HEADER: Final = 6  # times the text of the header


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Say why the bytes cannot be of safetensors.

    Raises:
        OverBudget: the tensors would take more memory than they may.
    """
    if reason := BY_NAME["safetensors"].fault(content):
        return reason
    budget = Budget(bound_for(len(content), memory))
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    budget.spend(_COPIES * len(content) + _HEADER * length, "its bytes")
    budget.spend(header.count(b"{") * _TENSOR + header.count(b",") * _NUMBER, "the tensors of its header")
    return None


def load(content: bytes) -> dict[str, Any]:
    """Return the arrays of numpy by their names."""
    arrays: dict[str, Any] = library("safetensors.numpy", extra="safetensors").load(content)
    return arrays
