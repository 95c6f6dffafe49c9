"""The policy around an attempt, on a clock of the test's own."""

from collections.abc import Callable
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client.policy import Pause, Send, attempts
from common_lib.client.transport import Failure
from common_lib.errors import AnswerTimedOut, ConnectionFailed, ServerFailed
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
        policy = attempts(config, clock=lambda: self.now, uniform=self._uniform)
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
    assert run.steps == [Send(5.0)]


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
