"""Retries, deadlines, bulkhead and budget around the attempts of a call, on a simulated clock."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.client.steps import Pause, Send
from common_lib.client.telemetry import Telemetry
from common_lib.deadline import deadline
from common_lib.errors import (
    AnswerTimedOut,
    CircuitOpen,
    ConnectionFailed,
    DeadlineExceeded,
    RateLimited,
    RegistryUnavailable,
    ServerFailed,
    TooManyCalls,
)
from common_lib.operations import models, uploads
from common_lib.operations.base import Answer, Operation

OK = Answer(200, {}, b"{}")
SICK = Answer(503, {"content-type": "text/plain"}, b"no")
CUT = Failure(ConnectionFailed, "http://x: ReadError")
SLOW = Failure(AnswerTimedOut, "http://x: ReadTimeout")
WAIT = Answer(409, {"content-type": "application/problem+json", "retry-after": "1"}, b'{"code":"request_in_flight"}')
BUSY = Answer(409, {"content-type": "application/problem+json"}, b'{"code":"request_in_flight"}')


class Run:
    """One call with scripted outcomes, each after `attempt_s`."""

    def __init__(
        self,
        *outcomes: Any,
        operation: Operation[Any] | None = None,
        attempt_s: float = 0.0,
        uniform: Callable[[float, float], float] = max,
    ) -> None:
        self._operation = operation or models.get("eurusd")
        self.now = 0.0
        self.steps: list[Send | Pause] = []
        self._outcomes = iter(outcomes)
        self._attempt_s = attempt_s
        self._uniform = uniform

    def sent_ms(self) -> list[int]:
        """Return the time left that each attempt sent."""
        return [int(dict(step.headers)["x-request-deadline-ms"]) for step in self.steps if isinstance(step, Send)]

    def __call__(self, config: RegistryConfig) -> Answer:
        """Return the answer of the call."""
        self.resilience = Resilience(config, clock=lambda: self.now, uniform=self._uniform)
        self.full = self.resilience.budget.tokens
        steps = self.resilience.steps(self._operation)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
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


def test_a_successful_call_makes_one_attempt() -> None:
    """There is neither a pause nor a retry."""
    run = Run(OK)
    assert run(RegistryConfig()) == OK
    assert run.steps == [Send(5.0, (("x-request-deadline-ms", "10000"),))]


@pytest.mark.parametrize("outcome", [CUT, SLOW, SICK, BUSY])
def test_a_transient_failure_is_retried(outcome: Any) -> None:
    """Lost connections, timeouts, failures of the server, and an earlier attempt that is still executing."""
    run = Run(outcome, outcome, OK)
    assert run(RegistryConfig(attempts=3)) == OK
    assert [type(step) for step in run.steps] == [Send, Pause, Send, Pause, Send]


def test_a_write_that_is_still_executing_is_awaited_until_the_deadline() -> None:
    """The limit of attempts does not apply, because its answer is about to come."""
    create = models.create("eurusd", "regression")
    run = Run(SLOW, *[WAIT] * 6, OK, operation=create, attempt_s=0.1)
    assert run(RegistryConfig(attempts=3)) == OK
    late = Run(SLOW, *[WAIT] * 99, operation=create, attempt_s=0.1)
    config = RegistryConfig(attempts=3)
    assert late(config) == WAIT
    assert config.deadline_s - 1.0 - config.first_pause_s - 0.1 < late.now < config.deadline_s


def test_waiting_for_a_write_costs_no_retry() -> None:
    """Only the retry after the timeout is paid for. For a part of an upload, waiting is a retry."""
    run = Run(SLOW, *[WAIT] * 6, OK, operation=models.create("eurusd", "regression"))
    run(RegistryConfig())
    assert run.resilience.budget.tokens == run.full - 1
    part = Run(*[BUSY] * 3, operation=uploads.delete_upload("0" * 64))
    assert part(RegistryConfig(attempts=3)) == BUSY


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 428])
def test_a_refusal_is_not_retried(status: int) -> None:
    """The decision of the registry is final."""
    refused = Answer(status, {}, b'{"code":"x"}')
    assert Run(refused)(RegistryConfig()) == refused


@pytest.mark.parametrize(("outcome", "error"), [(CUT, ConnectionFailed), (SLOW, AnswerTimedOut), (SICK, ServerFailed)])
def test_the_last_failure_is_raised_with_the_number_of_attempts(outcome: Any, error: type[Exception]) -> None:
    """The error describes the failure and the number of attempts."""
    with pytest.raises(error, match="tried 3 times"):
        Run(*[outcome] * 3)(RegistryConfig(attempts=3))


def test_pauses_double_with_full_jitter() -> None:
    """Each pause is between zero and a limit that doubles up to the longest."""
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    run = Run(*[CUT] * 5, OK, uniform=uniform)
    run(RegistryConfig(attempts=6, first_pause_s=0.1, longest_pause_s=0.5))
    assert bounds == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.5), (0, 0.5)]
    assert [step.seconds for step in run.steps if isinstance(step, Pause)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_no_attempt_begins_after_the_deadline() -> None:
    """A pause that would end too late is not started, and the last attempt has only the time that is left."""
    run = Run(CUT, CUT, CUT, attempt_s=4.0)
    with pytest.raises(ConnectionFailed, match="tried 3 times"):
        run(RegistryConfig(deadline_s=10.0, attempt_timeout_s=5.0, attempts=9))
    assert [step.timeout_s for step in run.steps if isinstance(step, Send)] == [5.0, 5.0, pytest.approx(1.7)]


NO_FLOOR = ["0", "-5", "nan", "inf", "soon", ""]


@pytest.mark.parametrize(
    ("retry_after", "slept"),
    [("4", [4.0]), ("Tue, 24 Nov 2026 12:00:04 GMT", [4.0]), ("1e9", None), *((text, [0.0]) for text in NO_FLOOR)],
)
def test_retry_after_is_the_shortest_pause(retry_after: str, slept: list[float] | None) -> None:
    """It is a number of seconds, or a date on the clock of the server; an invalid value is ignored."""
    headers = {"retry-after": retry_after, "date": "Tue, 24 Nov 2026 12:00:00 GMT"}
    busy = Answer(503, headers, b"")
    run = Run(busy, OK, uniform=lambda low, _: low)
    if slept is None:
        with pytest.raises(ServerFailed, match="tried once"):
            run(RegistryConfig(deadline_s=5.0))
    else:
        assert run(RegistryConfig(deadline_s=5.0)) == OK
        assert [step.seconds for step in run.steps if isinstance(step, Pause)] == slept


def test_a_call_ends_at_once_if_retry_after_exceeds_the_deadline() -> None:
    """With four seconds of Retry-After and three left, the error has `retry_after_s`."""
    run = Run(Answer(503, {"retry-after": "4"}, b""))
    with pytest.raises(ServerFailed, match="tried once") as failed:
        run(RegistryConfig(deadline_s=3.0))
    assert (run.now, failed.value.retry_after_s) == (0.0, 4.0)


TOO_MUCH = {"type": "t", "title": "t", "status": 429, "code": "rate_limited", "detail": "slow down", "remedy": "wait"}


@pytest.mark.parametrize("ours", [True, False])
def test_a_rate_limited_call_waits_or_raises_rate_limited(*, ours: bool) -> None:
    """The 429 comes from the registry or a proxy, its Retry-After is obeyed, and the circuit stays closed."""
    body = json.dumps(TOO_MUCH | {"request_id": "r"}).encode() if ours else b"<html>"
    headers = {"retry-after": "4", "content-type": "application/problem+json" if ours else "text/html"}
    busy = Answer(429, headers, body)
    run = Run(busy, OK, uniform=lambda low, _: low)
    assert run(RegistryConfig(deadline_s=5.0)) == OK
    assert [step.seconds for step in run.steps if isinstance(step, Pause)] == [4.0]
    with pytest.raises(RateLimited, match="slow down.*wait" if ours else "429") as limited:
        Run(busy)(RegistryConfig(deadline_s=3.0))
    assert (limited.value.retryable, limited.value.retry_after_s) == (True, 4.0)


def test_an_attempt_cut_short_by_the_deadline_does_not_count() -> None:
    """The circuit stays closed, whichever side ended the attempt, and the error names the deadline."""
    spent = Answer(504, {}, b'{"code":"deadline_exceeded"}')
    for outcome in (SLOW, spent):
        resilience = Resilience(RegistryConfig(attempts=1))
        with deadline(2.0):
            for _ in range(30):
                steps = resilience.steps(models.get("eurusd"))
                next(steps)
                with pytest.raises(DeadlineExceeded, match="the deadline passed during the attempt; tried once"):
                    _drive(steps, outcome)
        assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "closed"


def test_a_short_configured_deadline_still_opens_the_circuit() -> None:
    """It is the timeout of an attempt then, so a hung server is noticed."""
    now = 0.0
    resilience = Resilience(RegistryConfig(deadline_s=1.0), clock=lambda: now)
    for _ in range(20):
        steps = resilience.steps(models.get("eurusd"))
        next(steps)
        now += 1.0
        with pytest.raises(AnswerTimedOut):
            _drive(steps, SLOW)
    assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "opened"


def test_waiting_for_a_connection_does_not_open_the_circuit() -> None:
    """The server did not cause the wait."""
    resilience = Resilience(RegistryConfig(attempts=1))
    for _ in range(40):
        steps = resilience.steps(models.get("eurusd"))
        next(steps)
        with pytest.raises(TooManyCalls):
            _drive(steps, Failure(TooManyCalls, "PoolTimeout"))
    assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "closed"


def test_a_call_does_not_pause_before_a_retry_that_would_be_rejected() -> None:
    """The call whose failure opens the circuit ends at once, with its attempts."""
    resilience = Resilience(RegistryConfig(attempts=1), clock=lambda: 0.0)
    for _ in range(19):
        with pytest.raises(ConnectionFailed):
            _call_and_fail(resilience)
    patient = Resilience(RegistryConfig(attempts=3), clock=lambda: 0.0)
    patient.breakers = resilience.breakers
    steps = patient.steps(models.get("eurusd"))
    next(steps)
    with pytest.raises(ConnectionFailed, match="tried once"):
        steps.send(CUT)


def test_rejected_calls_do_not_change_the_retry_budget() -> None:
    """Only sent attempts count, so an outage neither fills nor empties the budget."""
    resilience = Resilience(RegistryConfig(retry_most=5.0), clock=lambda: 0.0, uniform=lambda low, _: low)
    for _ in range(20):
        with pytest.raises(RegistryUnavailable):
            _call_and_fail(resilience)
    left = resilience.budget.tokens
    assert 0 <= left < 1
    for _ in range(100):
        with pytest.raises(CircuitOpen):
            _call_and_fail(resilience)
    assert resilience.budget.tokens == left


def test_a_rejected_retry_is_refunded() -> None:
    """Another call opened the circuit during the pause."""
    resilience = Resilience(RegistryConfig(), clock=lambda: 0.0, uniform=lambda low, _: low)
    steps = resilience.steps(models.get("eurusd"))
    next(steps)
    assert isinstance(steps.send(CUT), Pause)
    paid = resilience.budget.tokens
    circuit = resilience.breakers.circuit("http://127.0.0.1:8321 read")
    for _ in range(20):
        circuit.record(circuit.admit()[0], failed=True)
        if circuit.state == "opened":
            break
    with pytest.raises(CircuitOpen, match="tried once"):
        steps.send(None)
    assert resilience.budget.tokens == paid + 1


def test_a_deadline_limits_the_calls_in_its_block() -> None:
    """The server receives the time that is left."""
    with deadline(2.0):
        run = Run(OK)
        run(RegistryConfig(deadline_s=10.0))
    (sent,) = run.steps
    assert isinstance(sent, Send)
    assert 1.9 < sent.timeout_s <= 2.0
    assert 1_900 <= int(dict(sent.headers)["x-request-deadline-ms"]) <= 2_000
    with deadline(60.0), deadline(2.0), deadline(5.0):
        run = Run(OK)
        run(RegistryConfig(deadline_s=10.0))
    assert run.sent_ms()[0] <= 2_000
    with deadline(-1.0), pytest.raises(DeadlineExceeded, match="not tried"):
        Run()(RegistryConfig())


def test_each_attempt_sends_the_time_left_until_the_deadline() -> None:
    """Attempts and pauses are subtracted, so that the server stops when the caller does."""
    run = Run(SICK, CUT, OK, attempt_s=0.5, uniform=lambda _, high: high)
    run(RegistryConfig(deadline_s=10.0, attempts=3, first_pause_s=0.1))
    assert run.sent_ms() == [10_000, 9_400, 8_700]


def test_an_error_lists_the_attempts() -> None:
    """Each attempt has its time and outcome."""
    with pytest.raises(ServerFailed) as failed:
        Run(CUT, SICK, attempt_s=0.5, uniform=lambda low, _: low)(RegistryConfig(attempts=2))
    assert [(a.began_s, a.took_s, a.outcome) for a in failed.value.tried] == [
        (0.0, 0.5, "http://x: ReadError"),
        (0.5, 0.5, "status 503"),
    ]


def test_the_bulkhead_rejects_a_call_above_its_limit() -> None:
    """The call is rejected at once; when another one ends, there is room."""
    resilience = Resilience(RegistryConfig(most_calls=2))
    first, second, third = (resilience.steps(models.get("eurusd")) for _ in range(3))
    next(first)
    next(second)
    with pytest.raises(TooManyCalls, match="2 calls are in progress"):
        next(third)
    first.close()
    assert isinstance(next(resilience.steps(models.get("eurusd"))), Send)


def test_an_exception_in_the_telemetry_has_no_effect() -> None:
    """It is called for attempts, retries, an empty budget and circuits."""
    events: list[str] = []

    class Broken(Telemetry):
        def on(self, event: str, key: str, **facts: object) -> None:
            events.append(event)
            raise KeyError(key)

    resilience = Resilience(RegistryConfig(retry_most=1.0), telemetry=Broken(), clock=lambda: 0.0)
    for _ in range(20):
        with pytest.raises(RegistryUnavailable):
            _call_and_fail(resilience)
    assert {"attempt", "retry", "budget", "open"} == set(events)


def _drive(steps: Any, outcome: Any) -> Answer:
    """Return the answer of a call whose attempts all have one outcome, without pauses."""
    reply: Any = outcome
    while True:
        try:
            reply = outcome if isinstance(steps.send(reply), Send) else None
        except StopIteration as done:
            answer: Answer = done.value
            return answer


def _call_and_fail(resilience: Resilience) -> None:
    steps, reply = resilience.steps(models.get("eurusd")), None
    while True:
        step = steps.send(reply)
        reply = CUT if isinstance(step, Send) else None
