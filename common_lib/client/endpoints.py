"""The order in which a call tries the endpoints of one registry.

Endpoints that failed recently come last, so that a call continues at an endpoint that it has not tried. This module
decides only the order; the circuit of an endpoint decides whether the endpoint is used at all.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

_NEVER: Final = (-math.inf, -math.inf)


class Endpoints:
    """The endpoints of one registry, with the latest failure of each circuit (endpoint and class of routes)."""

    def __init__(self, urls: Sequence[str], settling_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._settling_s = settling_s
        self._clock = clock
        # For each circuit: the time of its failure, and the time until which the server asked the client to wait.
        self._failures: dict[str, tuple[float, float]] = {}

    def order(self, route_class: str) -> list[str]:
        """Return the circuits of a class of routes in the order to try: as configured, with recent failures last."""
        circuits = [f"{url} {route_class}" for url in self._urls]
        if len(circuits) > 1 and self._failures:
            now = self._clock()
            circuits.sort(key=lambda circuit: self._rank(circuit, now))
        return circuits

    def retry_after_s(self, route_class: str) -> float:
        """Return how many more seconds to wait, as requested by the endpoint that the next attempt uses."""
        _, until = self._failures.get(self.order(route_class)[0], _NEVER)
        return max(0.0, until - self._clock())

    def record_failure(self, circuit: str, retry_after_s: float | None) -> None:
        """Record a failed attempt, and for how many seconds the server asks the client to wait."""
        now = self._clock()
        self._failures[circuit] = (now, now + (retry_after_s or 0.0))

    def record_success(self, circuit: str) -> None:
        """Remove the recorded failure of a circuit, because its endpoint has answered."""
        if self._failures:
            self._failures.pop(circuit, None)

    def _rank(self, circuit: str, now: float) -> tuple[float, float]:
        failed_at, until = self._failures.get(circuit, _NEVER)
        return max(until, now), max(failed_at, now - self._settling_s)
