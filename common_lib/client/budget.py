"""The retry budget: retries may be a share of calls, so that a sick server is not given many times its load.

Source: "Site Reliability Engineering", chapter 21 (Handling Overload), O'Reilly 2016.
"""

import threading


class Budget:
    """Tokens: each call brings `ratio` of one, each retry costs one, and there are never more than `most`."""

    def __init__(self, ratio: float, most: float) -> None:
        self._ratio = ratio
        self._most = most
        self._tokens = most
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """How many retries are allowed now."""
        return self._tokens

    def called(self) -> None:
        """Count a first attempt that was let through."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Whether one more retry is allowed; then it is paid for."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def take_back(self) -> None:
        """The retry that was paid for was not sent after all."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + 1)
