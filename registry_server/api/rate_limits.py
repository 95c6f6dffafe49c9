"""Rate limits of one peer or principal: token buckets in the memory of this process.

A bucket fills at a steady rate up to its depth. A request may take from it while it holds at least one unit: a large
request is carried out at once, and the next ones wait until the bucket is above zero. A restart fills every bucket.
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
    """One bucket for each key, up to a number of keys, the most recently used ones; a rate of 0 means no limit."""

    def __init__(
        self, per_s: float, depth: float, *, most: int = _MOST_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._depth = depth
        self._most = most
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of keys with a stored level."""
        return len(self._levels)

    def take(self, key: str, cost: float) -> float:
        """Take from the bucket of the key and return 0; if that is refused, return the seconds until it may be tried.

        >>> buckets = Buckets(2.0, 1.0, clock=lambda: 0.0)
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
    """A limit of the bytes that one principal may have written into rows, over all of its tokens."""

    def __init__(self, bytes_per_s: float, burst_bytes: float, largest_body: int) -> None:
        self._buckets = TokenBuckets(bytes_per_s, burst_bytes)
        self._largest_body = largest_body

    def charge_announced(self, caller: Caller, media_type: str, length: str) -> None:
        """Charge a write by the length that its head announces, before its body is read.

        The bytes of models are not rows: such a request costs only the fixed amount.

        Raises:
            WriteRateExceeded: the principal has used up its quota for now.
        """
        is_rows = media_type.lower().startswith(_JSON) and length.isdecimal() and len(length) < _DIGITS
        announced = int(length) if is_rows else 0
        # A body that is too large is refused unread, and costs only the fixed amount.
        self._charge(caller, _BYTES_OF_A_WRITE + (announced if announced <= self._largest_body else 0))

    def charge_unannounced(self, caller: Caller, length: str, body: bytes) -> None:
        """Charge the body of a write that was sent in chunks, whose size was unknown before.

        Raises:
            WriteRateExceeded: the principal has used up its quota for now.
        """
        if body and not length:
            self._charge(caller, len(body))

    def _charge(self, caller: Caller, cost: float) -> None:
        wait_s = self._buckets.take(caller.name, cost)
        if wait_s:
            raise errors.WriteRateExceeded(caller.name, wait_s)
