"""Clients of a registry on a virtual clock: cache and resilience chain are real, network and time are simulated."""

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


def report_row(scenario: str, requirement: str, measured: str) -> None:
    """Print a row of the table in docs/resilience-measured.md."""
    print(f"\n| {scenario} | {requirement} | {measured} |")


def seeds_and_sizes(short: int, long: int = 200_000) -> list[Any]:
    """Return pairs of a seed and a size: one small pair, and five large ones for the long form."""
    return [pytest.param(0, short), *(pytest.param(seed, long, marks=pytest.mark.long) for seed in SEEDS)]


def resolve(name: str) -> Operation[Any]:
    """Return the resolve of a model's production version, with an answer that is not parsed."""
    return replace(versions.resolve(f"models:/{name}/production"), read=lambda _: None)


class Clock:
    """A clock that moves only from event to event."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        """Return the simulated time."""
        return self.now

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Schedule an event."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), event))

    def run(self, until: float) -> None:
        """Run all events up to a time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until


class Server(Protocol):
    """A simulated server, which may leave attempts unanswered."""

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Receive an attempt whose client waits until `give_up_at`."""


class ScriptedServer:
    """A server whose script decides each answer, given after a millisecond; None means that it never answers."""

    def __init__(self, clock: Clock, script: Callable[[float], Answer | Failure | None]) -> None:
        self._clock = clock
        self._script = script

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Reply as the script says."""
        outcome = self._script(self._clock.now)
        if outcome is not None:
            self._clock.at(self._clock.now + 0.001, lambda: reply(outcome))


class QueueServer:
    """A server that processes one request at a time, and skips those whose client has stopped waiting."""

    def __init__(self, clock: Clock, per_s: float, *, heeds_deadlines: bool = True) -> None:
        self._clock = clock
        self._service_s = 1 / per_s
        self._heeds = heeds_deadlines
        self.waiting: list[tuple[Reply, float]] = []

    def serve(self, reply: Reply, give_up_at: float) -> None:
        """Add the attempt to the queue."""
        self.waiting.append((reply, give_up_at))
        if len(self.waiting) == 1:
            self._clock.at(self._clock.now + self._service_s, self._done)

    def _done(self) -> None:
        reply, _ = self.waiting.pop(0)
        while self._heeds and self.waiting and self.waiting[0][1] <= self._clock.now:
            self.waiting.pop(0)
        if self.waiting:
            self._clock.at(self._clock.now + self._service_s, self._done)
        reply(OK)


@dataclass(slots=True)
class CallRecord:
    """One call with its times and its result."""

    began: float
    ended: float
    answer: Answer | None
    error: RegistryError | None

    @property
    def took_s(self) -> float:
        """The time that the caller waited."""
        return self.ended - self.began


@dataclass(slots=True)
class _EventCounter(Telemetry):
    counts: Counter[str] = field(default_factory=Counter)

    def on(self, event: str, key: str, **facts: object) -> None:
        self.counts[event] += 1


class Process:
    """One process that uses the registry, with a resilience chain and a cache of its own."""

    def __init__(self, clock: Clock, server: Server, seed: int, *, cached: bool = False, **config: Any) -> None:
        chance = random.Random(seed)
        self._clock = clock
        self._server = server
        self.events = _EventCounter()
        rules = ResolveRules() if cached else None
        self.config = RegistryConfig(resolve=rules, **config)
        self.resilience = Resilience(self.config, clock=clock, uniform=chance.uniform, telemetry=self.events)
        self.cache = ResolveCache(rules, self.events, clock=clock) if rules else None
        self.attempts = 0
        self.probes = 0
        self.max_probes = 0
        self.calls: list[CallRecord] = []

    def call(self, operation: Operation[Any]) -> None:
        """Start a call; when it ends it is appended to `calls`."""
        began = self._clock.now

        def ended(answer: Answer | None, error: RegistryError | None) -> None:
            self.calls.append(CallRecord(began, self._clock.now, answer, error))

        self._drive(self._steps(operation), ended)

    def circuit(self, route_class: str = "resolve") -> Any:
        """Return the circuit of a class of routes."""
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
                case Wait(result, seconds):
                    return self._wait(result, seconds, go_on)
                case Refresh(stale):
                    self._refresh(stale)
                case Save():
                    pass

    def _refresh(self, operation: Operation[Any]) -> None:
        assert self.cache is not None
        steps = self.cache.refresh_steps(operation, lambda *began: self.resilience.steps(operation, *began))
        self._drive(steps, lambda *_: None)

    def _wait(self, result: Future[Any], seconds: float, go_on: Callable[..., None]) -> None:
        first = _FirstReply(go_on)
        result.add_done_callback(lambda done: self._clock.at(self._clock.now, lambda: first(done.result())))
        self._clock.at(self._clock.now + seconds, first)

    def _send(self, timeout_s: float, go_on: Callable[..., None]) -> None:
        self.attempts += 1
        # Other attempts may still be under way that started before the circuit opened.
        probes = self.circuit().state == "half-opened"
        self.probes += probes
        self.max_probes = max(self.max_probes, self.probes)

        def ended(outcome: Answer | Failure) -> None:
            self.probes -= probes
            go_on(outcome)

        reply, end = _FirstReply(ended), self._clock.now + timeout_s
        self._server.serve(reply, end)
        self._clock.at(end, lambda: reply(Failure(AnswerTimedOut, "ReadTimeout")))


class _FirstReply:
    """A callback that runs once and ignores later replies."""

    def __init__(self, then: Callable[..., None]) -> None:
        self._then: Callable[..., None] | None = then

    def __call__(self, *reply: Any) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(*reply)


def repeat(clock: Clock, per_s: float, until: float, action: Callable[[int], None], begin: float = 0.0) -> None:
    """Run an action so many times a second, with the number of the run."""

    def tick(number: int) -> None:
        action(number)
        if (then := begin + (number + 1) / per_s) < until:
            clock.at(then, lambda: tick(number + 1))

    clock.at(begin, lambda: tick(0))


def all_calls(processes: list[Process]) -> Iterator[CallRecord]:
    """Return the calls of all processes."""
    return itertools.chain.from_iterable(process.calls for process in processes)


def share(part: int, whole: int) -> float:
    """Return part / whole, and 1 for an empty whole."""
    return part / whole if whole else 1.0
