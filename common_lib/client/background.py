"""Run work in background threads, which exist only while there is work.

The threads are daemons, so the interpreter can exit while a registry hangs.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Background:
    """A queue of functions that at most `max_threads` background threads run."""

    def __init__(self, max_threads: int = 4) -> None:
        self._max_threads = max_threads
        self._state = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._threads = 0
        self._closed = False

    def submit(self, work: Callable[[], object]) -> None:
        """Add a function to the queue. After `close`, it is ignored."""
        with self._state:
            if self._closed:
                return
            self._waiting.append(work)
            if self._threads == self._max_threads:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="registry-background", daemon=True).start()
        except RuntimeError:
            # No thread can be started: the interpreter is ending, or the system has reached its limit.
            with self._state:
                self._threads -= 1

    def close(self, timeout_s: float) -> bool:
        """Drop queued work and wait for running work. Return False if it still runs after `timeout_s` seconds."""
        end = time.monotonic() + timeout_s
        with self._state:
            self._closed = True
            self._waiting.clear()
            while self._threads and (left_s := end - time.monotonic()) > 0:
                self._state.wait(left_s)
            return not self._threads

    def _work(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception:  # noqa: BLE001 - no caller would see it
                if not self._closed:
                    _log.exception("a background task failed")

    def _next(self) -> Callable[[], object] | None:
        with self._state:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            self._state.notify_all()
            return None
