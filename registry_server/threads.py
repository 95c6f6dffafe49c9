"""Runs work in threads that always end before their caller: a cancelled caller waits for its thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[..., T], *args: Any, stop: threading.Event | None = None) -> T:
    """Run blocking work in a thread; return or raise only after it has ended, even if the caller is cancelled.

    A thread cannot be cancelled. If a descriptor were closed while a thread uses it, the thread would read or write
    the next file that is opened with the same number. `stop` is set on cancellation, for work that can end early.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
        with contextlib.suppress(asyncio.CancelledError):  # the first cancellation is raised below
            await wait_until_done(running)
        # The caller gets the cancellation only. Reading the error prevents asyncio's warning about it.
        if not running.cancelled():
            running.exception()
        raise


async def wait_until_done(running: "asyncio.Future[Any]") -> None:
    """Wait until a future is done. If the waiting task is cancelled meanwhile, raise the cancellation after that."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
