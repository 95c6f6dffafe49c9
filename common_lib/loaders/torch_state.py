"""State dicts of torch, which are pickles: only for bytes that the caller trusts."""

from io import BytesIO
from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["torch"].fault


def load(content: bytes) -> Any:
    """The tensors by their names, on the CPU.

    Read as weights only, though the bytes are trusted; that is a second wall and not the first: before torch 2.6 it
    could be broken (CVE-2025-32434).
    """
    return library("torch", extra="torch").load(BytesIO(content), map_location="cpu", weights_only=True)
