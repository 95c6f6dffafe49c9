"""Ignore errors when writing files that only make later calls faster, such as caches.

A full or read-only disk, or a missing permission, must not let a call fail. The first error in a folder is logged as a
warning, once per process.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)
_warned: set[str] = set()


@contextlib.contextmanager
def best_effort(folder: Path) -> Iterator[None]:
    """Suppress an `OSError` in the block. Log a warning for the first error in this folder."""
    try:
        yield
    except OSError as error:
        if str(folder) not in _warned:
            _warned.add(str(folder))
            _log.warning(
                "%s cannot be written, so later calls and processes cannot reuse these answers: %s", folder, error
            )
