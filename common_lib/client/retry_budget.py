"""The retry budget: it limits retries to a share of all calls, so that retries do not overload a failing server.

Source: "Site Reliability Engineering", chapter 21 (Handling Overload), O'Reilly 2016.
"""

import threading


class RetryBudget:
    """The budget of retry tokens: each call adds `ratio` tokens, up to `limit`, and each retry takes one token."""

    def __init__(self, ratio: float, limit: float) -> None:
        self._ratio = ratio
        self._limit = limit
        self._tokens = limit
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """The number of tokens now, which is the number of retries that are allowed."""
        return self._tokens

    def deposit(self) -> None:
        """Add `ratio` tokens, up to `limit`, because a call sends its first attempt."""
        with self._lock:
            self._tokens = min(self._limit, self._tokens + self._ratio)

    def withdraw(self) -> bool:
        """Take one token for a retry. Return False if there is less than one token."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def refund(self) -> None:
        """Add back the token of a retry that was not sent."""
        with self._lock:
            self._tokens = min(self._limit, self._tokens + 1)
