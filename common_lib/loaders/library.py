"""Import a heavy library only when a file that needs it is loaded or saved."""

from importlib import import_module
from typing import Any

from common_lib.errors import LibraryMissing


def library(module: str, *, extra: str) -> Any:
    """Import a module of a library; `extra` is the extra of this distribution that installs the library.

    The module is passed as a string, because common_lib must not depend on any of these libraries.

    Raises:
        LibraryMissing: the library is not installed, or a system library that it needs is missing.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # LightGBM without libgomp is an OSError
        raise LibraryMissing(module.partition(".")[0], extra=extra, why=str(error)[:200]) from error
