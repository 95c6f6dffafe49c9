"""Work in threads that end before their caller: a caller that is cancelled waits for its thread before it cleans up."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any, stop: threading.Event | None = None) -> T:
    """Run blocking work in a thread, and return or raise only after it has ended, also when cancelled.

    A thread cannot be cancelled. If a descriptor is closed that a thread still uses, the thread reads or writes the
    file that is opened next under the same number. `stop` is set on cancellation, for work that can end early.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
        with contextlib.suppress(asyncio.CancelledError):  # the first one is on its way already
            await ended(running)
        # The caller learns of the cancellation only; asyncio warns of an error that nobody looked at.
        if not running.cancelled():
            running.exception()
        raise


async def ended(running: "asyncio.Future[Any]") -> None:
    """Wait until a future is done, also if the waiting task is cancelled meanwhile; then raise that cancellation."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
