"""How much one peer or principal may ask of the server: token buckets in the memory of this process.

What a bucket holds flows in at a steady rate up to its depth. Something may be taken while a whole unit is left, so a
large piece is carried out once and waited for afterwards. A restart of the server fills every bucket.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from registry_server.core.rights import Caller
from registry_server.domain.errors import RateLimited

# Each write is an event, an answer that is kept, and rows, whatever its body says.
_BYTES_OF_A_WRITE: Final = 512
_DIGITS: Final = 16
_MOST_KEYS: Final = 10_000
_JSON: Final = "application/json"


class TokenBuckets:
    """One bucket for each key, of which the ones used last are remembered; a rate of 0 limits nothing."""

    def __init__(
        self, per_s: float, depth: float, *, most: int = _MOST_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._depth = depth
        self._most = most
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return for how many keys a level is remembered."""
        return len(self._levels)

    def take(self, key: str, cost: float) -> float:
        """Take from the bucket of the key; return 0, or in how many seconds there will be a whole unit in it.

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
    """How many bytes of requests one principal may have written into rows, by all its tokens together."""

    def __init__(self, bytes_per_s: float, burst_bytes: float, largest_body: int) -> None:
        self._buckets = TokenBuckets(bytes_per_s, burst_bytes)
        self._largest_body = largest_body

    def charge_announced(self, caller: Caller, media_type: str, length: str) -> None:
        """Charge a change by what its head announces, before its body is read.

        Bytes of models are not rows: they cost what the request does.

        Raises:
            RateLimited: the principal has used up its quota for now.
        """
        is_rows = media_type.lower().startswith(_JSON) and length.isdecimal() and len(length) < _DIGITS
        announced = int(length) if is_rows else 0
        # A body that is too large is refused unread, and costs no more than its head.
        self._charge(caller, _BYTES_OF_A_WRITE + (announced if announced <= self._largest_body else 0))

    def charge_unannounced(self, caller: Caller, length: str, body: bytes) -> None:
        """Charge the body of a change that came in chunks, whose size nobody knew before.

        Raises:
            RateLimited: the principal has used up its quota for now.
        """
        if body and not length:
            self._charge(caller, len(body))

    def _charge(self, caller: Caller, cost: float) -> None:
        wait_s = self._buckets.take(caller.name, cost)
        if wait_s:
            raise RateLimited(
                f"{caller.name} has written as much as it may for now",
                remedy="wait as long as Retry-After says and send it again with the same Idempotency-Key; "
                "an operator can raise REGISTRY_SERVER_WRITE_BYTES_PER_S",
                field="principal",
                value=caller.name,
                retry_after_s=wait_s,
            )
