"""The retry budget: retries may be a share of all calls, so that a sick server does not receive many times its load.

Source: "Site Reliability Engineering", chapter 21 (Handling Overload), O'Reilly 2016.
"""

import threading


class RetryBudget:
    """Tokens: each call adds `ratio` of a token, each retry costs one, and there are at most `limit`."""

    def __init__(self, ratio: float, limit: float) -> None:
        self._ratio = ratio
        self._limit = limit
        self._tokens = limit
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """Number of retries that are allowed now."""
        return self._tokens

    def deposit(self) -> None:
        """Add the share of one call, when its first attempt is sent."""
        with self._lock:
            self._tokens = min(self._limit, self._tokens + self._ratio)

    def withdraw(self) -> bool:
        """Take the token for one retry. Return False if the budget has none."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def refund(self) -> None:
        """Return the token of a retry that was not sent after all."""
        with self._lock:
            self._tokens = min(self._limit, self._tokens + 1)
