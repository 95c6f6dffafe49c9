"""Lazy import of heavy libraries, when a file that needs one is loaded or saved."""

from importlib import import_module
from typing import Any

from common_lib.errors import LibraryMissing


def library(module: str, *, extra: str) -> Any:
    """Import a module of a library that an optional extra installs.

    The import is by name, because common_lib does not depend on any of these libraries.

    Raises:
        LibraryMissing: the library is not installed, or lacks a system library.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # LightGBM without libgomp is an OSError
        raise LibraryMissing(module.partition(".")[0], extra=extra, why=str(error)[:200]) from error
