"""Deadlines that a caller sets around a block of code: each limits all calls to the registry within the block."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from common_lib.config import check_seconds

_end: ContextVar[float | None] = ContextVar("registry_deadline", default=None)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit all calls within a block to `seconds` from now. Of nested deadlines, the earliest one applies.

    The monotonic clock measures the time. The deadline applies to this thread or task, and to the tasks that it starts.

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
    """Return the seconds until the deadline of this thread or task; negative after it, None without a deadline."""
    end = _end.get()
    return None if end is None else end - time.monotonic()
