"""Clients of a registry on a virtual clock: every policy is the real one, only the network and the time are made up."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pytest

from common_lib import RegistryConfig
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.steps import CallSteps, Pause, Refresh, Save, Send, Wait
from common_lib.client.telemetry import Telemetry
from common_lib.config import ResolveRules
from common_lib.errors import AnswerTimedOut, ConnectionFailed, RegistryError, RegistryUnavailable
from common_lib.operations import versions
from common_lib.operations.base import Answer, Operation

OK = Answer(200, {}, b"{}")
SICK = Answer(503, {"content-type": "text/plain"}, b"no")
CUT = Failure(ConnectionFailed, "ConnectError: Connection refused")
Reply = Callable[[Answer | Failure], None]
SEEDS = range(5)


def beside(scenario: str, bar: str, measured: str) -> None:
    """Print a row of the table in docs/resilience-measured.md."""
    print(f"\n| {scenario} | {bar} | {measured} |")


def seeded(short: int, long: int = 200_000) -> list[Any]:
    """One seed and few operations; in the long form five and many."""
    return [pytest.param(0, short), *(pytest.param(seed, long, marks=pytest.mark.long) for seed in SEEDS)]


def resolve(name: str) -> Operation[Any]:
    """What a service asks for most."""
    return replace(versions.resolve(f"models:/{name}/production"), read=lambda _: None)


class Clock:
    """A time that only what happens moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        """What time it is."""
        return self.now

    def at(self, when: float, happens: Callable[[], None]) -> None:
        """Let it happen then."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), happens))

    def run(self, until: float) -> None:
        """Let everything happen until then."""
        while self._events and self._events[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.now = until


class Server(Protocol):
    """What answers an attempt, or never does."""

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Take an attempt whose caller waits until `give_up_at`."""


class Told:
    """A server that answers as it is told, a millisecond later; what it is told to say with None never comes."""

    def __init__(self, clock: Clock, says: Callable[[float], Answer | Failure | None]) -> None:
        self._clock = clock
        self._says = says

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Answer."""
        said = self._says(self._clock.now)
        if said is not None:
            self._clock.at(self._clock.now + 0.001, lambda: reply(said))


class Queue:
    """A server that works on one request after the other, and on none whose caller has stopped waiting."""

    def __init__(self, clock: Clock, per_s: float, *, heeds_deadlines: bool = True) -> None:
        self._clock = clock
        self._takes_s = 1 / per_s
        self._heeds = heeds_deadlines
        self._free_at = 0.0
        self.waiting: list[tuple[Reply, float]] = []

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Put it behind the others."""
        self.waiting.append((reply, give_up_at))
        if len(self.waiting) == 1:
            self._clock.at(self._clock.now + self._takes_s, self._done)

    def _done(self) -> None:
        reply, _ = self.waiting.pop(0)
        while self._heeds and self.waiting and self.waiting[0][1] <= self._clock.now:
            self.waiting.pop(0)
        if self.waiting:
            self._clock.at(self._clock.now + self._takes_s, self._done)
        reply(OK)


@dataclass(slots=True)
class Called:
    """One call and what came of it."""

    began: float
    ended: float
    answer: Answer | None
    error: RegistryError | None

    @property
    def took_s(self) -> float:
        """How long the caller waited."""
        return self.ended - self.began


@dataclass(slots=True)
class _Noticed(Telemetry):
    happenings: Counter[str] = field(default_factory=Counter)

    def on(self, happening: str, key: str, **facts: object) -> None:
        self.happenings[happening] += 1


class Process:
    """One process that uses the registry: a policy and a cache of its own."""

    def __init__(self, clock: Clock, server: Server, seed: int, *, cached: bool = False, **config: Any) -> None:
        chance = random.Random(seed)
        self._clock = clock
        self._server = server
        self.noticed = _Noticed()
        rules = ResolveRules() if cached else None
        self.config = RegistryConfig(resolve=rules, **config)
        self.resilience = Resilience(self.config, clock=clock, uniform=chance.uniform, telemetry=self.noticed)
        self.cache = ResolveCache(rules, self.noticed, clock=clock) if rules else None
        self.attempts = 0
        self.probes = 0
        self.most_probes = 0
        self.calls: list[Called] = []

    def call(self, operation: Operation[Any]) -> None:
        """Begin a call; when it ends it is among `calls`."""
        began = self._clock.now

        def ended(answer: Answer | None, error: RegistryError | None) -> None:
            self.calls.append(Called(began, self._clock.now, answer, error))

        self._drive(self._steps(operation), ended)

    def circuit(self, route_class: str = "resolve") -> Any:
        """The circuit of a class of routes."""
        return self.resilience.breakers.circuit(f"{self.config.url} {route_class}")

    def _steps(self, operation: Operation[Any]) -> CallSteps:
        if self.cache is None:
            return self.resilience.steps(operation)
        resilience = self.resilience
        return self.cache.steps(
            operation,
            lambda *began: resilience.steps(operation, *began),
            lambda: resilience.is_rejecting(operation.route_class),
        )

    def _drive(self, steps: CallSteps, ended: Callable[..., None], reply: Any = None) -> None:
        def go_on(reply: Any = None) -> None:
            self._drive(steps, ended, reply)

        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return ended(done.value, None)
            except RegistryUnavailable as error:
                return ended(None, error)
            reply = None
            match step:
                case Send(timeout_s):
                    return self._send(timeout_s, go_on)
                case Pause(seconds):
                    return self._clock.at(self._clock.now + seconds, go_on)
                case Wait(outcome, seconds):
                    return self._wait(outcome, seconds, go_on)
                case Refresh(asked):
                    self._refresh(asked)
                case Save():
                    pass

    def _refresh(self, operation: Operation[Any]) -> None:
        assert self.cache is not None
        steps = self.cache.refresh_steps(operation, lambda *began: self.resilience.steps(operation, *began))
        self._drive(steps, lambda *_: None)

    def _wait(self, outcome: Future[Any], seconds: float, go_on: Callable[..., None]) -> None:
        once = _Once(go_on)
        outcome.add_done_callback(lambda done: self._clock.at(self._clock.now, lambda: once(done.result())))
        self._clock.at(self._clock.now + seconds, once)

    def _send(self, timeout_s: float, go_on: Callable[..., None]) -> None:
        self.attempts += 1
        # Other attempts may still be under way that began before the circuit opened.
        probes = self.circuit().state == "half-opened"
        self.probes += probes
        self.most_probes = max(self.most_probes, self.probes)

        def ended(outcome: Answer | Failure) -> None:
            self.probes -= probes
            go_on(outcome)

        reply, end = _Once(ended), self._clock.now + timeout_s
        self._server.serve(reply, end)
        self._clock.at(end, lambda: reply(Failure(AnswerTimedOut, "ReadTimeout")))


class _Once:
    """What comes second comes too late."""

    def __init__(self, then: Callable[..., None]) -> None:
        self._then: Callable[..., None] | None = then

    def __call__(self, *reply: Any) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(*reply)


def ticking(clock: Clock, per_s: float, until: float, happens: Callable[[int], None], begin: float = 0.0) -> None:
    """Let it happen so many times a second, with the number of the time."""

    def tick(number: int) -> None:
        happens(number)
        if (then := begin + (number + 1) / per_s) < until:
            clock.at(then, lambda: tick(number + 1))

    clock.at(begin, lambda: tick(0))


def all_calls(processes: list[Process]) -> Iterator[Called]:
    """The calls of all of them."""
    return itertools.chain.from_iterable(process.calls for process in processes)


def share(true: int, of: int) -> float:
    """That part of all."""
    return true / of if of else 1.0
