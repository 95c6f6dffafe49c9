"""The circuit breaker: the interface of the library purgatory, with our own rules for opening a circuit.

purgatory itself counts only consecutive failures, admits all calls when half open, counts a cancellation as a failure,
and raises one shared exception whose traceback grows. This module replaces the unit of work of purgatory: each call
gets a new context, and all threads and tasks share one circuit for each dependency.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import uniform as _uniform
from typing import Any, Final, Literal

from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context
from purgatory.service._sync.circuitbreaker import SyncCircuitBreakerFactory
from purgatory.service._sync.repository import SyncInMemoryRepository
from purgatory.service._sync.unit_of_work import SyncInMemoryUnitOfWork

from common_lib.config import BreakerRules
from common_lib.errors import CircuitOpen

_log = logging.getLogger(__name__)
_BUCKETS: Final = 30
_NEVER_S: Final = 1e9
State = Literal["closed", "opened", "half-opened"]
Listener = Callable[[str, State], None]


class AttemptFailed(Exception):
    """An exception inside a circuit breaker that counts the attempt as a failure."""


class Inconclusive(Exception):
    """An exception inside a circuit breaker that ends an attempt without counting it as success or failure."""


@dataclass(frozen=True, slots=True)
class _Permit:
    generation: int
    began: float


class Circuit:
    """A circuit breaker for one dependency, shared by all its calls, with the recent results of these calls."""

    def __init__(
        self,
        name: str,
        rules: BreakerRules,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = _uniform,
    ) -> None:
        self.name = name
        self._rules = rules
        self._clock = clock
        self._uniform = uniform
        self._lock = threading.Lock()
        self._state: State = CLOSED
        self._generation = 0
        self._until = 0.0
        self._times_opened = 0
        self._probing = 0
        self._probed_at = 0.0
        self._last_failure_at = -math.inf
        # One bucket for each thirtieth of the window: [number of the thirtieth, calls, failures, slow calls].
        self._buckets = [[-1, 0, 0, 0] for _ in range(_BUCKETS)]

    @property
    def state(self) -> State:
        """The current state. An open circuit becomes half open only when a call arrives after the open time."""
        return self._state

    def remaining_s(self) -> float:
        """Return for how many more seconds the circuit rejects calls; 0.0 if it admits calls now."""
        if self._state == OPENED:
            return max(0.0, self._until - self._clock())
        return self._probe_left_s(self._clock()) if self._probing >= self._rules.probes else 0.0

    def admit(self) -> tuple[_Permit, State | None]:
        """Admit one call. Return its permit, and the new state of the circuit, or None if the state does not change.

        Raises:
            CircuitOpen: the circuit rejects the call. Each call gets a new exception, so that no traceback grows.
        """
        changed: State | None = None
        with self._lock:
            now = self._clock()
            if self._state == OPENED and now >= self._until:
                changed = self._enter(HALF_OPENED)
            if self._state == OPENED:
                raise CircuitOpen(self.name, self._until - now) from None
            if self._state == HALF_OPENED:
                if self._probing >= self._rules.probes:
                    raise CircuitOpen(self.name, self._probe_left_s(now)) from None
                self._probing += 1
                self._probed_at = now
            return _Permit(self._generation, now), changed

    def record(self, permit: _Permit, failed: bool | None) -> State | None:  # noqa: FBT001 - three values
        """Count the result of a call, unless `failed` is None. Return the new state; None if it does not change."""
        with self._lock:
            if permit.generation != self._generation:
                # The call was admitted before the last change of state, so its result is outdated.
                return None
            now = self._clock()
            slow = now - permit.began > self._rules.slow_call_s
            if self._state == HALF_OPENED:
                self._probing -= 1
                if failed is None:
                    return None
                return self._open(now) if failed or slow else self._close()
            if failed is None:
                return None
            return self._open(now) if self._count_and_test_thresholds(now, failed, slow) else None

    def _probe_left_s(self, now: float) -> float:
        # After this time the probe has ended, or it counts as slow and opens the circuit again.
        return max(0.0, self._probed_at + min(self._rules.slow_call_s, self._rules.open_s) - now)

    def _count_and_test_thresholds(self, now: float, failed: bool, slow: bool) -> bool:  # noqa: FBT001 - they are counted
        width = self._rules.window_s / _BUCKETS
        index = int(now // width)
        bucket = self._buckets[index % _BUCKETS]
        if bucket[0] != index:
            bucket[:] = [index, 0, 0, 0]
        bucket[1] += 1
        bucket[2] += failed
        bucket[3] += slow
        if failed or slow:
            self._last_failure_at = now
        elif now - self._last_failure_at > self._rules.window_s:
            # The common case: nothing to count.
            return False
        recent = [b for b in self._buckets if b[0] > index - _BUCKETS]
        calls, failures, slows = (sum(b[place] for b in recent) for place in (1, 2, 3))
        rules = self._rules
        return calls >= rules.minimum_calls and (
            failures >= rules.failure_rate * calls or slows >= rules.slow_rate * calls
        )

    def _open(self, now: float) -> State:
        longest = min(self._rules.longest_open_s, self._rules.open_s * 2**self._times_opened)
        self._times_opened = min(self._times_opened + 1, 16)
        # Random, so that a thousand clients do not all probe at the same time.
        self._until = now + longest * self._uniform(0.75, 1.0)
        return self._enter(OPENED)

    def _close(self) -> State:
        self._times_opened = 0
        for bucket in self._buckets:
            bucket[:] = [-1, 0, 0, 0]
        return self._enter(CLOSED)

    def _enter(self, state: State) -> State:
        self._state = state
        self._generation += 1
        self._probing = 0
        return state


class Breakers:
    """All circuits of a client, by name. The first call to a dependency creates its circuit."""

    def __init__(
        self,
        rules: BreakerRules,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = _uniform,
        listener: Listener | None = None,
    ) -> None:
        self._work = _UnitOfWork(rules, clock, uniform)
        self._factory = SyncCircuitBreakerFactory(uow=self._work)
        if listener is not None:
            self._factory.add_listener(_guarded_listener(listener))

    def guard(self, name: str) -> AbstractContextManager[object]:
        """Return a context manager that admits one attempt and counts its result in the circuit.

        Raises:
            CircuitOpen: the circuit is open. The context manager raises it on entry.
        """
        return self._factory.get_breaker(name)

    def circuit(self, name: str) -> Circuit:
        """Return the circuit with a name; create it if it does not exist."""
        return self._work.circuits.circuit(name)

    def circuits(self) -> list[Circuit]:
        """Return all circuits that calls have used until now."""
        return self._work.circuits.all()


class _CallContext(Context):
    """The adapter that lets purgatory run one call through a `Circuit`."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__(circuit.name, threshold=0, ttl=0)
        self._circuit = circuit
        self._permit: _Permit | None = None

    def handle_new_request(self) -> None:
        self._permit, changed = self._circuit.admit()
        self._publish(changed)

    def handle_exception(self, exc: BaseException) -> None:
        self._record(True if isinstance(exc, AttemptFailed) else None)

    def handle_end_request(self) -> None:
        self._record(False)

    def _record(self, failed: bool | None) -> None:  # noqa: FBT001 - three values
        if self._permit is not None:
            self._publish(self._circuit.record(self._permit, failed))
            self._permit = None

    def _publish(self, changed: State | None) -> None:
        if changed is not None:
            self.messages.append(ContextChanged(self.name, changed, None))


class _Circuits(SyncInMemoryRepository):
    def __init__(self, make: Callable[[str], Circuit]) -> None:
        super().__init__()
        self._make = make
        self._lock = threading.Lock()
        self._circuits: dict[str, Circuit] = {}

    def circuit(self, name: str) -> Circuit:
        found = self._circuits.get(name)
        if found is None:
            with self._lock:
                found = self._circuits.setdefault(name, self._make(name))
        return found

    def all(self) -> list[Circuit]:
        return list(self._circuits.values())

    def get(self, name: str) -> Context:
        return _CallContext(self.circuit(name))


class _UnitOfWork(SyncInMemoryUnitOfWork):
    def __init__(
        self, rules: BreakerRules, clock: Callable[[], float], uniform: Callable[[float, float], float]
    ) -> None:
        # The time of a file transfer depends on its size, so a transfer never counts as slow.
        blob_rules = replace(rules, slow_call_s=_NEVER_S)
        self.circuits = _Circuits(
            lambda name: Circuit(name, blob_rules if name.endswith(" blob") else rules, clock, uniform)
        )
        self.contexts = self.circuits


def _guarded_listener(listener: Listener) -> Callable[[str, str, Any], None]:
    def on_event(name: str, kind: str, event: Any) -> None:
        if kind != "state_changed":
            return
        try:
            listener(name, event.state)
        except Exception:  # noqa: BLE001 - of code that is not ours
            _log.exception("a listener of circuit %s raised an error; the circuit is not affected", name)

    return on_event
