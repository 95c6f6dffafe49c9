"""Files that only help a later call: a full or read-only disk, or a lack of permission, must not fail a call.

One warning for each folder and process tells that nothing is remembered there.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)
_warned: set[str] = set()


@contextlib.contextmanager
def optional(folder: Path) -> Iterator[None]:
    """Pass over an error of the operating system, with a warning for the first one in a folder."""
    try:
        yield
    except OSError as error:
        if str(folder) not in _warned:
            _warned.add(str(folder))
            _log.warning(
                "%s cannot be written, so later calls and processes will not know what this one was answered: %s",
                folder,
                error,
            )
