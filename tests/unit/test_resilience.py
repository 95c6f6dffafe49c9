"""The policy around an attempt, on a clock of the test's own."""

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
from common_lib.operations import artifacts, models
from common_lib.operations.base import Answer, Operation

OK = Answer(200, {}, b"{}")
SICK = Answer(503, {"content-type": "text/plain"}, b"no")
CUT = Failure(ConnectionFailed, "http://x: ReadError")
SLOW = Failure(AnswerTimedOut, "http://x: ReadTimeout")
WAIT = Answer(409, {"content-type": "application/problem+json", "retry-after": "1"}, b'{"code":"request_in_flight"}')
BUSY = Answer(409, {"content-type": "application/problem+json"}, b'{"code":"request_in_flight"}')


class Run:
    """Drives the policy on scripted outcomes; each attempt takes `attempt_s`."""

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
        """Return the time that is left, as each attempt sent it."""
        return [int(dict(step.headers)["x-request-deadline-ms"]) for step in self.steps if isinstance(step, Send)]

    def __call__(self, config: RegistryConfig) -> Answer:
        """The answer of one call."""
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


def test_what_is_still_at_work_is_waited_for_until_the_deadline() -> None:
    """Its answer is about to come: of that there is no last attempt, only a last moment."""
    create = models.create("eurusd", "regression")
    run = Run(SLOW, *[WAIT] * 6, OK, operation=create, attempt_s=0.1)
    assert run(RegistryConfig(attempts=3)) == OK
    late = Run(SLOW, *[WAIT] * 99, operation=create, attempt_s=0.1)
    config = RegistryConfig(attempts=3)
    assert late(config) == WAIT
    assert config.deadline_s - 1.0 - config.first_pause_s - 0.1 < late.now < config.deadline_s


def test_to_wait_for_an_answer_is_no_retry() -> None:
    """It leaves the budget to those that are, but for the one after the timeout; a part of an upload is one of them."""
    run = Run(SLOW, *[WAIT] * 6, OK, operation=models.create("eurusd", "regression"))
    run(RegistryConfig())
    assert run.resilience.budget.tokens == run.full - 1
    part = Run(*[BUSY] * 3, operation=artifacts.abandon_upload("0" * 64))
    assert part(RegistryConfig(attempts=3)) == BUSY


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


TOO_MUCH = {"type": "t", "title": "t", "status": 429, "code": "rate_limited", "detail": "slow down", "remedy": "wait"}


@pytest.mark.parametrize("ours", [True, False])
def test_who_asks_too_much_waits_and_is_answered_or_raises_an_error_of_its_own(*, ours: bool) -> None:
    """By the registry's word or a proxy's, with the pause that was asked for; the server is not taken for sick."""
    body = json.dumps(TOO_MUCH | {"request_id": "r"}).encode() if ours else b"<html>"
    headers = {"retry-after": "4", "content-type": "application/problem+json" if ours else "text/html"}
    busy = Answer(429, headers, body)
    run = Run(busy, OK, uniform=lambda low, _: low)
    assert run(RegistryConfig(deadline_s=5.0)) == OK
    assert [step.seconds for step in run.steps if isinstance(step, Pause)] == [4.0]
    with pytest.raises(RateLimited, match="slow down.*wait" if ours else "429") as limited:
        Run(busy)(RegistryConfig(deadline_s=3.0))
    assert (limited.value.retryable, limited.value.retry_after_s) == (True, 4.0)


def test_what_the_deadline_cuts_short_says_nothing_of_the_server() -> None:
    """Neither a failure nor a success, here or at the server, however often; the error names the deadline."""
    spent = Answer(504, {}, b'{"code":"deadline_exceeded"}')
    for outcome in (SLOW, spent):
        resilience = Resilience(RegistryConfig(attempts=1))
        with deadline(2.0):
            for _ in range(30):
                steps = resilience.steps(models.get("eurusd"))
                next(steps)
                with pytest.raises(DeadlineExceeded, match="cut the attempt short; tried once"):
                    _through(steps, outcome)
        assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "closed"


def test_a_deadline_shorter_than_an_attempt_hides_no_hung_server() -> None:
    """Set in the configuration it is the time that an attempt has: the circuit opens."""
    now = 0.0
    resilience = Resilience(RegistryConfig(deadline_s=1.0), clock=lambda: now)
    for _ in range(20):
        steps = resilience.steps(models.get("eurusd"))
        next(steps)
        now += 1.0
        with pytest.raises(AnswerTimedOut):
            _through(steps, SLOW)
    assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "opened"


def test_waiting_for_a_connection_of_ones_own_opens_no_circuit() -> None:
    """It says nothing of the server."""
    resilience = Resilience(RegistryConfig(attempts=1))
    for _ in range(40):
        steps = resilience.steps(models.get("eurusd"))
        next(steps)
        with pytest.raises(TooManyCalls):
            _through(steps, Failure(TooManyCalls, "PoolTimeout"))
    assert resilience.breakers.circuit("http://127.0.0.1:8321 read").state == "closed"


def test_nobody_pauses_for_what_the_circuit_will_reject() -> None:
    """The call whose failure opens it ends at once, with what was tried."""
    resilience = Resilience(RegistryConfig(attempts=1), clock=lambda: 0.0)
    for _ in range(19):
        with pytest.raises(ConnectionFailed):
            _unanswered(resilience)
    patient = Resilience(RegistryConfig(attempts=3), clock=lambda: 0.0)
    patient.breakers = resilience.breakers
    steps = patient.steps(models.get("eurusd"))
    next(steps)
    with pytest.raises(ConnectionFailed, match="tried once"):
        steps.send(CUT)


def test_rejected_calls_bring_no_retries_and_cost_none() -> None:
    """Only what is sent counts, so an outage neither fills the budget nor empties it."""
    resilience = Resilience(RegistryConfig(retry_most=5.0), clock=lambda: 0.0, uniform=lambda low, _: low)
    for _ in range(20):
        with pytest.raises(RegistryUnavailable):
            _unanswered(resilience)
    left = resilience.budget.tokens
    assert 0 <= left < 1
    for _ in range(100):
        with pytest.raises(CircuitOpen):
            _unanswered(resilience)
    assert resilience.budget.tokens == left


def test_a_retry_that_is_not_let_through_is_given_back() -> None:
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


def test_a_deadline_travels() -> None:
    """Set around a piece of work, it bounds the calls within, and the server is told what is left of it."""
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


def test_each_attempt_says_what_is_left_of_the_deadline() -> None:
    """The time of attempts and pauses is subtracted: the server must not work for longer than the caller waits."""
    run = Run(SICK, CUT, OK, attempt_s=0.5, uniform=lambda _, high: high)
    run(RegistryConfig(deadline_s=10.0, attempts=3, first_pause_s=0.1))
    assert run.sent_ms() == [10_000, 9_400, 8_700]


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
    resilience = Resilience(RegistryConfig(most_calls=2))
    first, second, third = (resilience.steps(models.get("eurusd")) for _ in range(3))
    next(first)
    next(second)
    with pytest.raises(TooManyCalls, match="2 calls are under way"):
        next(third)
    first.close()
    assert isinstance(next(resilience.steps(models.get("eurusd"))), Send)


def test_telemetry_is_told_and_cannot_disturb() -> None:
    """Of attempts, retries, an empty budget and circuits; it raises each time, and nobody notices."""
    told: list[str] = []

    class Broken(Telemetry):
        def on(self, happening: str, key: str, **facts: object) -> None:
            told.append(happening)
            raise KeyError(key)

    resilience = Resilience(RegistryConfig(retry_most=1.0), telemetry=Broken(), clock=lambda: 0.0)
    for _ in range(20):
        with pytest.raises(RegistryUnavailable):
            _unanswered(resilience)
    assert {"attempt", "retry", "budget", "open"} == set(told)


def _through(steps: Any, outcome: Any) -> Answer:
    """The answer when each attempt ends so; nobody waits."""
    reply: Any = outcome
    while True:
        try:
            reply = outcome if isinstance(steps.send(reply), Send) else None
        except StopIteration as done:
            answer: Answer = done.value
            return answer


def _unanswered(resilience: Resilience) -> None:
    steps, reply = resilience.steps(models.get("eurusd")), None
    while True:
        step = steps.send(reply)
        reply = CUT if isinstance(step, Send) else None
