"""Rate limits of one peer or principal: token buckets in the memory of this process.

A bucket fills at a steady rate up to its depth. A request may take units from it while it contains at least one, even
more units than it contains: a large request is carried out at once, and the next ones are refused until the bucket is
filled again. A restart fills every bucket.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from registry_server.core.rights import Caller
from registry_server.domain import errors

# Each write stores an event, a response for replay, and rows, whatever its body holds.
_BYTES_OF_A_WRITE: Final = 512
_DIGITS: Final = 16
_MOST_KEYS: Final = 10_000
_JSON: Final = "application/json"


class TokenBuckets:
    """One bucket for each of the most recently used keys, up to a maximum number; a rate of 0 means no limit."""

    def __init__(
        self, per_s: float, depth: float, *, most: int = _MOST_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._depth = depth
        self._most = most
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of keys that have a bucket."""
        return len(self._levels)

    def take(self, key: str, cost: float) -> float:
        """Take `cost` units from the bucket of the key and return 0.

        A bucket with at least one unit accepts any cost, and its level may then be negative. From a bucket with less
        than one unit, take nothing and return the number of seconds to wait.

        >>> buckets = TokenBuckets(2.0, 1.0, clock=lambda: 0.0)
        >>> buckets.take("a", 3.0), buckets.take("a", 1.0), buckets.take("b", 1.0)
        (0.0, 1.5, 0.0)
        """
        if not self._per_s:
            return 0.0
        now = self._clock()
        level, at = self._levels.get(key, (self._depth, now))
        level = min(self._depth, level + (now - at) * self._per_s)
        lacking = min(cost, 1.0) - level
        wait_s = max(0.0, lacking) / self._per_s
        self._levels[key] = (level if wait_s else level - cost, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return wait_s


class WriteQuota:
    """A limit of the bytes that one principal, with all of its tokens, may write into rows."""

    def __init__(self, bytes_per_s: float, burst_bytes: float, largest_body: int) -> None:
        self._buckets = TokenBuckets(bytes_per_s, burst_bytes)
        self._largest_body = largest_body

    def charge_announced(self, caller: Caller, media_type: str, length: str) -> None:
        """Charge a write for the length in its Content-Length header, before its body is read.

        The bytes of models are not stored in rows, so a request that sends them costs only the fixed amount.

        Raises:
            WriteRateExceeded: the principal has used up its quota for now.
        """
        is_rows = media_type.lower().startswith(_JSON) and length.isdecimal() and len(length) < _DIGITS
        announced = int(length) if is_rows else 0
        # A body that is too large is refused unread, and costs only the fixed amount.
        self._charge(caller, _BYTES_OF_A_WRITE + (announced if announced <= self._largest_body else 0))

    def charge_unannounced(self, caller: Caller, length: str, body: bytes) -> None:
        """Charge a write that was sent in chunks for the size of its body, which the head did not contain.

        Raises:
            WriteRateExceeded: the principal has used up its quota for now.
        """
        if body and not length:
            self._charge(caller, len(body))

    def _charge(self, caller: Caller, cost: float) -> None:
        wait_s = self._buckets.take(caller.name, cost)
        if wait_s:
            raise errors.WriteRateExceeded(caller.name, wait_s)
