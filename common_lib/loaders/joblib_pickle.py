"""Loader for joblib files. They are pickles, so they are loaded only if the caller trusts them."""

from io import BytesIO
from typing import Any

from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["joblib"].fault


def load(content: bytes) -> Any:
    """Unpickle the object. This runs any code that the file contains."""
    return library("joblib", extra="skops").load(BytesIO(content))
