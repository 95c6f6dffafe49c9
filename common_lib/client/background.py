"""Work that nobody waits for, in a few threads that live only while there is some.

They are daemons: an interpreter that ends does not wait for a registry that hangs.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Background:
    """At most so many threads at once; what is more waits its turn."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._state = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._threads = 0
        self._closed = False

    def submit(self, work: Callable[[], object]) -> None:
        """Do it soon; nothing is done any more after `close`."""
        with self._state:
            if self._closed:
                return
            self._waiting.append(work)
            if self._threads == self._most:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="registry-background", daemon=True).start()
        except RuntimeError:
            # No thread can be started any more: the interpreter ends, or the machine is full.
            with self._state:
                self._threads -= 1

    def close(self, timeout_s: float) -> bool:
        """Drop what waits, and wait for what is under way; whether it has ended."""
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
            except Exception:  # noqa: BLE001 - nobody else would hear of it
                if not self._closed:
                    _log.exception("work in the background failed")

    def _next(self) -> Callable[[], object] | None:
        with self._state:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            self._state.notify_all()
            return None
