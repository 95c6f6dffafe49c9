"""The endpoints of one registry, and the order in which a call tries them.

Only the order: endpoints that failed lately come last, so that a call continues at one that it has not tried. Whether
an endpoint fails for all calls, and for how long it is not used, is known to its circuit.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

_NEVER: Final = (-math.inf, -math.inf)


class Endpoints:
    """The latest failures of each endpoint and class of routes, by the name of their circuit."""

    def __init__(self, urls: Sequence[str], settling_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._settling_s = settling_s
        self._clock = clock
        # By circuit: when it failed, and until when the server asked the client to wait.
        self._failures: dict[str, tuple[float, float]] = {}

    def order(self, route_class: str) -> list[str]:
        """Return the circuits of a class of routes as configured, but those that failed lately last."""
        circuits = [f"{url} {route_class}" for url in self._urls]
        if len(circuits) > 1 and self._failures:
            now = self._clock()
            circuits.sort(key=lambda circuit: self._rank(circuit, now))
        return circuits

    def retry_after_s(self, route_class: str) -> float:
        """Return for how many more seconds the first endpoint in order has asked the client to wait."""
        _, until = self._failures.get(self.order(route_class)[0], _NEVER)
        return max(0.0, until - self._clock())

    def record_failure(self, circuit: str, retry_after_s: float | None) -> None:
        """Record a failed attempt, and how long the server asks the client to wait."""
        now = self._clock()
        self._failures[circuit] = (now, now + (retry_after_s or 0.0))

    def record_success(self, circuit: str) -> None:
        """Forget the failures of an endpoint that has answered."""
        if self._failures:
            self._failures.pop(circuit, None)

    def _rank(self, circuit: str, now: float) -> tuple[float, float]:
        failed_at, until = self._failures.get(circuit, _NEVER)
        return max(until, now), max(failed_at, now - self._settling_s)
