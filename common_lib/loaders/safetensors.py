"""Named arrays by safetensors: numbers and their shapes, nothing else."""

from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["safetensors"].fault


def load(content: bytes) -> dict[str, Any]:
    """The arrays of numpy by their names."""
    arrays: dict[str, Any] = library("safetensors.numpy", extra="safetensors").load(content)
    return arrays
