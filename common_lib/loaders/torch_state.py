"""Loader for state dicts of torch, which are pickles: only for bytes that the caller trusts."""

from io import BytesIO
from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["torch"].fault


def load(content: bytes) -> Any:
    """Return the tensors by name, on the CPU.

    `weights_only` is an additional protection; trust is still required, because before torch 2.6 it could be bypassed
    (CVE-2025-32434).
    """
    return library("torch", extra="torch").load(BytesIO(content), map_location="cpu", weights_only=True)
