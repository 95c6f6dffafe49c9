"""Deadlines that travel: set once around a piece of work, they bound every call of the registry within it."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from common_lib.config import check_seconds

_end: ContextVar[float | None] = ContextVar("registry_deadline", default=None)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """A block within which no call waits longer than to its end; of two deadlines the earlier holds.

    It counts on the monotonic clock, in this thread or task and in the tasks that it starts.

    Raises:
        InvalidConfiguration: `seconds` is no number.

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
    """How much time is left, which may be negative; None without a deadline."""
    end = _end.get()
    return None if end is None else end - time.monotonic()
