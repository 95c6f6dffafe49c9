"""Files that only help later calls: a full or read-only disk, or a missing permission, must not fail a call.

The first failure in a folder is logged as a warning, once per process.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)
_warned: set[str] = set()


@contextlib.contextmanager
def best_effort(folder: Path) -> Iterator[None]:
    """Suppress an error of the operating system, with a warning for the first one in a folder."""
    try:
        yield
    except OSError as error:
        if str(folder) not in _warned:
            _warned.add(str(folder))
            _log.warning(
                "%s cannot be written, so later calls and processes cannot reuse the answers of this one: %s",
                folder,
                error,
            )
