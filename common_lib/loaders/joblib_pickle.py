"""Loader for joblib files, which are pickles: only for bytes that the caller trusts."""

from io import BytesIO
from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["joblib"].fault


def load(content: bytes) -> Any:
    """Unpickle the object; this runs code that the file names."""
    return library("joblib", extra="skops").load(BytesIO(content))
