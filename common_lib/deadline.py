"""Deadlines of the caller: set once around a block of work, they limit every call to the registry within it."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from common_lib.config import check_seconds

_end: ContextVar[float | None] = ContextVar("registry_deadline", default=None)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit all calls within a block to so many seconds from now; of nested deadlines the earlier one holds.

    The time is that of the monotonic clock. The deadline holds in this thread or task and in tasks started by it.

    Raises:
        InvalidConfiguration: `seconds` is not a number.

    >>> with deadline(0.5), deadline(60):
    ...     0 < remaining_s() <= 0.5
    True
    """
    check_seconds("the deadline", seconds)
    end = time.monotonic() + seconds
    outer = _end.get()
    token = _end.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _end.reset(token)


def remaining_s() -> float | None:
    """Return the seconds until the deadline, which may be negative; None without a deadline."""
    end = _end.get()
    return None if end is None else end - time.monotonic()
