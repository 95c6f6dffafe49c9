"""Loader for pickles, which run code when they are read: only for bytes that the caller trusts."""

from importlib import import_module
from typing import Any

from common_lib.rules.formats import BY_NAME

fault = BY_NAME["pickle"].fault


def load(content: bytes) -> Any:
    """Unpickle the object; this runs code that the file names."""
    return import_module("pickle").loads(content)
