"""Loader for state dicts of torch. They are pickles, so they are loaded only if the caller trusts them."""

from io import BytesIO
from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["torch"].fault


def load(content: bytes) -> Any:
    """Return a dict from the name of each tensor to the tensor, on the CPU.

    Torch's option `weights_only` is used as an additional protection. Trust is still required, because the option could
    be bypassed before torch 2.6 (CVE-2025-32434).
    """
    return library("torch", extra="torch").load(BytesIO(content), map_location="cpu", weights_only=True)
