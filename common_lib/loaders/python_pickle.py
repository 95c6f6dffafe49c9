"""Loader for pickles. They run code when they are read, so they are loaded only if the caller trusts them."""

from importlib import import_module
from typing import Any

from common_lib.rules.formats import BY_NAME

fault = BY_NAME["pickle"].fault


def load(content: bytes) -> Any:
    """Unpickle the object. This runs any code that the file contains."""
    return import_module("pickle").loads(content)
