"""The addresses of one registry, and which of them is worth the next attempt.

Only the order: those that failed lately come last, so that a call goes on where it has not been. That an address fails
for everybody, and for how long it is left alone, is known to its circuit.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

_NEVER: Final = (-math.inf, -math.inf)


class Addresses:
    """What the attempts of one client have seen of each address and class of routes: the name of a circuit."""

    def __init__(self, urls: Sequence[str], settling_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._settling_s = settling_s
        self._clock = clock
        # Of each that failed: when, and until when it asked to be left alone.
        self._failed: dict[str, tuple[float, float]] = {}

    def order(self, route_class: str) -> list[str]:
        """The circuits for a class of routes: as configured, those that failed in the last seconds behind them."""
        circuits = [f"{url} {route_class}" for url in self._urls]
        if len(circuits) > 1 and self._failed:
            now = self._clock()
            circuits.sort(key=lambda circuit: self._lately(circuit, now))
        return circuits

    def rest_s(self, route_class: str) -> float:
        """How long the next one in order asked to be left alone."""
        _, until = self._failed.get(self.order(route_class)[0], _NEVER)
        return max(0.0, until - self._clock())

    def failed(self, circuit: str, retry_after_s: float | None) -> None:
        """An attempt there failed, and was asked not to come back for so long."""
        now = self._clock()
        self._failed[circuit] = (now, now + (retry_after_s or 0.0))

    def answered(self, circuit: str) -> None:
        """An attempt there was answered."""
        if self._failed:
            self._failed.pop(circuit, None)

    def _lately(self, circuit: str, now: float) -> tuple[float, float]:
        failed_at, until = self._failed.get(circuit, _NEVER)
        return max(until, now), max(failed_at, now - self._settling_s)
