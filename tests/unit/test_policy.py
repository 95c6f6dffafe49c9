"""The policy around an attempt, on a clock of the test's own."""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client.policy import Pause, Policy, Send
from common_lib.client.telemetry import Telemetry
from common_lib.client.transport import Failure
from common_lib.deadline import deadline
from common_lib.errors import (
    AnswerTimedOut,
    ConnectionFailed,
    DeadlineExceeded,
    RegistryUnavailable,
    ServerFailed,
    TooManyCalls,
)
from common_lib.operations import models
from common_lib.operations.base import Answer

OK = Answer(200, {}, b"{}")
SICK = Answer(503, {"content-type": "text/plain"}, b"no")
CUT = Failure(ConnectionFailed, "http://x: ReadError")
SLOW = Failure(AnswerTimedOut, "http://x: ReadTimeout")
BUSY = Answer(409, {"content-type": "application/problem+json"}, b'{"code":"request_in_flight"}')


class Run:
    """Drives the policy on scripted outcomes; each attempt takes `attempt_s`."""

    def __init__(self, *outcomes: Any, attempt_s: float = 0.0, uniform: Callable[[float, float], float] = max) -> None:
        self.now = 0.0
        self.steps: list[Send | Pause] = []
        self._outcomes = iter(outcomes)
        self._attempt_s = attempt_s
        self._uniform = uniform

    def __call__(self, config: RegistryConfig) -> Answer:
        """The answer of one call."""
        policy = Policy(config, clock=lambda: self.now, uniform=self._uniform).steps(models.get("eurusd"))
        reply: Any = None
        while True:
            try:
                step = policy.send(reply)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            self.steps.append(step)
            match step:
                case Send():
                    self.now += self._attempt_s
                    reply = next(self._outcomes)
                case Pause(seconds):
                    self.now += seconds
                    reply = None


def test_a_call_that_works_is_one_attempt() -> None:
    """No pause, no second try."""
    run = Run(OK)
    assert run(RegistryConfig()) == OK
    assert run.steps == [Send(5.0, (("x-request-deadline-ms", "10000"),))]


@pytest.mark.parametrize("outcome", [CUT, SLOW, SICK, BUSY])
def test_what_may_pass_is_tried_again(outcome: Any) -> None:
    """Cuts, timeouts, failures of the server, and a first request still at work."""
    run = Run(outcome, outcome, OK)
    assert run(RegistryConfig(attempts=3)) == OK
    assert [type(step) for step in run.steps] == [Send, Pause, Send, Pause, Send]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 428])
def test_a_no_is_not_tried_again(status: int) -> None:
    """The registry's decision stands."""
    refused = Answer(status, {}, b'{"code":"x"}')
    assert Run(refused)(RegistryConfig()) == refused


@pytest.mark.parametrize(("outcome", "error"), [(CUT, ConnectionFailed), (SLOW, AnswerTimedOut), (SICK, ServerFailed)])
def test_the_last_failure_is_raised_with_the_number_of_attempts(outcome: Any, error: type[Exception]) -> None:
    """The error says what happened and how often it was tried."""
    with pytest.raises(error, match="tried 3 times"):
        Run(*[outcome] * 3)(RegistryConfig(attempts=3))


def test_pauses_are_of_full_jitter_and_doubling() -> None:
    """Each pause lies between nothing and a bound that doubles up to the longest."""
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    run = Run(*[CUT] * 5, OK, uniform=uniform)
    run(RegistryConfig(attempts=6, first_pause_s=0.1, longest_pause_s=0.5))
    assert bounds == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.5), (0, 0.5)]
    assert [step.seconds for step in run.steps if isinstance(step, Pause)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_no_attempt_begins_after_the_deadline() -> None:
    """A pause that would end too late is not begun, and the last attempt gets only the time that is left."""
    run = Run(CUT, CUT, CUT, attempt_s=4.0)
    with pytest.raises(ConnectionFailed, match="tried 3 times"):
        run(RegistryConfig(deadline_s=10.0, attempt_timeout_s=5.0, attempts=9))
    assert [step.timeout_s for step in run.steps if isinstance(step, Send)] == [5.0, 5.0, pytest.approx(1.7)]


class Clients:
    """Calls of one client on a virtual clock, answered by a server that the test makes up."""

    def __init__(self, serve: Callable[[float], Any], seed: int = 0, **config: Any) -> None:
        chance = random.Random(seed)
        self.now = 0.0
        self.attempts = 0
        self._serve = serve
        self.policy = Policy(RegistryConfig(**config), clock=lambda: self.now, uniform=chance.uniform)

    def call(self) -> Answer:
        """One call."""
        steps = self.policy.steps(models.get("eurusd"))
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            match step:
                case Send():
                    self.attempts += 1
                    reply = self._serve(self.now)
                case Pause(seconds):
                    self.now += seconds
                    reply = None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("share", "success", "amplification"), [(0.1, 0.998, 1.12), (0.2, 0.945, 1.20)])
def test_independent_failures_are_mostly_mended(seed: int, share: float, success: float, amplification: float) -> None:
    """By retries that the budget bounds: 40,000 calls for each seed, each attempt fails with that probability."""
    print(f"seed {seed}")
    chance, calls = random.Random(seed), 40_000
    clients = Clients(lambda _: SICK if chance.random() < share else OK, seed)
    answered = 0
    for _ in range(calls):
        clients.now += 0.1
        with contextlib.suppress(ServerFailed):
            answered += clients.call() == OK
    assert answered / calls >= success
    assert clients.attempts / calls <= amplification


def test_an_outage_is_met_with_few_attempts() -> None:
    """Ten minutes of ten calls a second that nobody answers: each ends in a typed error, hardly any is attempted."""
    clients = Clients(lambda _: CUT)
    first, calls = 0, 0
    for tick in range(6_000):
        clients.now = max(clients.now, tick / 10)
        calls += 1
        with pytest.raises(RegistryUnavailable):
            clients.call()
        if tick == 99:
            first = clients.attempts
    assert first / 100 <= 1.1
    assert clients.attempts / calls <= 0.05


def test_it_recovers_within_seconds() -> None:
    """After an outage of a minute, calls are answered again twelve seconds after the repair at the latest."""
    clients = Clients(lambda now: CUT if now < 60 else OK)
    answered: list[tuple[float, bool]] = []
    for tick in range(900):
        clients.now = max(clients.now, tick / 10)
        try:
            answered.append((clients.now, clients.call() == OK))
        except RegistryUnavailable:
            answered.append((clients.now, False))
    assert all(ok for now, ok in answered if now > 72)


NO_FLOOR = ["0", "-5", "nan", "inf", "soon", ""]


@pytest.mark.parametrize(
    ("told", "slept"),
    [("4", [4.0]), ("Tue, 24 Nov 2026 12:00:04 GMT", [4.0]), ("1e9", None), *((text, [0.0]) for text in NO_FLOOR)],
)
def test_retry_after_is_a_floor(told: str, slept: list[float] | None) -> None:
    """As seconds or as a date on the server's own clock; what it cannot mean is as if it were not there."""
    headers = {"retry-after": told, "date": "Tue, 24 Nov 2026 12:00:00 GMT"}
    busy = Answer(503, headers, b"")
    run = Run(busy, OK, uniform=lambda low, _: low)
    if slept is None:
        with pytest.raises(ServerFailed, match="tried once"):
            run(RegistryConfig(deadline_s=5.0))
    else:
        assert run(RegistryConfig(deadline_s=5.0)) == OK
        assert [step.seconds for step in run.steps if isinstance(step, Pause)] == slept


def test_who_is_told_to_come_after_the_deadline_gives_up_at_once() -> None:
    """Four seconds with three left: an error now, which says when it is worth another call."""
    run = Run(Answer(503, {"retry-after": "4"}, b""))
    with pytest.raises(ServerFailed, match="tried once") as failed:
        run(RegistryConfig(deadline_s=3.0))
    assert (run.now, failed.value.retry_after_s) == (0.0, 4.0)


def test_a_deadline_travels() -> None:
    """Set around a piece of work, it bounds the calls within, and the server is told what is left of it."""
    with deadline(2.0):
        run = Run(OK)
        run(RegistryConfig(deadline_s=10.0))
    (sent,) = run.steps
    assert isinstance(sent, Send)
    assert 1.9 < sent.timeout_s <= 2.0
    assert 1_900 <= int(dict(sent.headers)["x-request-deadline-ms"]) <= 2_000
    with deadline(-1.0), pytest.raises(DeadlineExceeded, match="not tried"):
        Run()(RegistryConfig())


def test_an_error_says_what_was_tried() -> None:
    """Each attempt with its time and outcome."""
    with pytest.raises(ServerFailed) as failed:
        Run(CUT, SICK, attempt_s=0.5, uniform=lambda low, _: low)(RegistryConfig(attempts=2))
    assert [(a.began_s, a.took_s, a.outcome) for a in failed.value.tried] == [
        (0.0, 0.5, "http://x: ReadError"),
        (0.5, 0.5, "status 503"),
    ]


def test_so_many_calls_are_under_way_and_no_more() -> None:
    """Then a call is refused at once; one that ends makes room."""
    policy = Policy(RegistryConfig(most_calls=2))
    first, second, third = (policy.steps(models.get("eurusd")) for _ in range(3))
    next(first)
    next(second)
    with pytest.raises(TooManyCalls, match="2 calls are under way"):
        next(third)
    first.close()
    assert isinstance(next(policy.steps(models.get("eurusd"))), Send)


def test_telemetry_is_told_and_cannot_disturb() -> None:
    """Of attempts, retries, an empty budget and circuits; it raises each time, and nobody notices."""
    told: list[str] = []

    class Broken(Telemetry):
        def on(self, happening: str, key: str, **facts: object) -> None:
            told.append(happening)
            raise KeyError(key)

    policy = Policy(RegistryConfig(retry_most=1.0), telemetry=Broken(), clock=lambda: 0.0)
    for _ in range(20):
        with pytest.raises(RegistryUnavailable):
            _unanswered(policy)
    assert {"attempt", "retry", "budget", "open"} == set(told)


def _unanswered(policy: Policy) -> None:
    steps, reply = policy.steps(models.get("eurusd")), None
    while True:
        step = steps.send(reply)
        reply = CUT if isinstance(step, Send) else None
