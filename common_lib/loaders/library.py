"""Heavy libraries, imported when a file that needs one is loaded or saved, and not before."""

from importlib import import_module
from typing import Any

from common_lib.errors import LibraryMissing


def library(module: str, *, extra: str) -> Any:
    """The module of a library that only an extra brings.

    Imported by name: who installs common_lib gets none of these, so no module of ours may depend on one.

    Raises:
        LibraryMissing: it is not installed, or lacks a library of the system.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # LightGBM without libgomp is an OSError
        raise LibraryMissing(module.partition(".")[0], extra=extra, why=str(error)[:200]) from error
