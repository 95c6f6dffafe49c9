"""What happens around an attempt, without any input or output of its own: a generator that two drivers run.

The generator yields `Send` and `Pause`; a driver does what it is told and sends back what came of it. So the blocking
and the asynchronous client follow the same rules by running the same code:

deadline → retry, within a budget → bulkhead → breaker → attempt timeout → transport

Retry is outside the breaker, so the breaker sees every attempt; an open circuit is not tried again.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, cast

from common_lib.client.addresses import Addresses
from common_lib.client.budget import Budget
from common_lib.client.failures import Failure
from common_lib.client.telemetry import Happening, Logging, Telemetry, isolated, tracing
from common_lib.config import RegistryConfig
from common_lib.deadline import remaining_s
from common_lib.errors import (
    AnswerTimedOut,
    Attempt,
    CircuitOpen,
    DeadlineExceeded,
    RateLimited,
    RegistryUnavailable,
    ServerFailed,
    TooManyCalls,
)
from common_lib.operations.base import Answer, Operation, RouteClass, refusal

if TYPE_CHECKING:
    from tenacity import Future, RetryCallState, Retrying

_RETRIED_STATUS: Final = frozenset({429, 500, 502, 503, 504})
_TOO_MANY: Final = 429
_IN_FLIGHT: Final = 409
_SPENT: Final = 504
# An attempt that had less of the time it may take did not have a fair chance.
_MOST_OF: Final = 0.9
_HAPPENINGS: Final[dict[str, Happening]] = {"opened": "open", "half-opened": "half-open", "closed": "close"}
_LONGEST_RETRY_AFTER_S: Final = 1e6
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Send:
    """Attempt the operation within so many seconds, with these headers more, at that address if there are several."""

    timeout_s: float
    headers: tuple[Header, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CircuitState:
    """`closed`, `opened`, or `half-opened` while a probe is under way; and how long it stays open, in seconds."""

    state: str
    retry_after_s: float


Steps = Generator[Send | Pause, Any, Answer]


class Policy:
    """The rules of one client, shared by all its calls."""

    def __init__(
        self,
        config: RegistryConfig,
        *,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        # purgatory takes 50 ms to import: paid by those who make a client, not by those who import the library.
        from common_lib.client.breaker import Breakers  # noqa: PLC0415 - see above

        self.config = config
        self.telemetry = telemetry or Logging()
        self.clock = clock
        self._uniform = uniform
        self.budget = Budget(config.retry_ratio, config.retry_most)
        self._under_way: dict[str, int] = {}
        self.addresses = Addresses(config.urls, config.breaker.open_s, clock)
        self._lock = threading.Lock()
        self.breakers = Breakers(config.breaker, clock=clock, uniform=uniform, listener=self._changed)

    def steps(self, operation: Operation[Any], began: float | None = None) -> Steps:
        """The steps of one call: attempts with pauses of full jitter between them, within the deadline.

        The deadline counts from now, or from when the call `began` on the clock of this policy.

        Every operation may be repeated: reads change nothing, writes carry an Idempotency-Key, bytes go by digest.
        Source of the pauses: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).

        Raises:
            RegistryUnavailable: no attempt was answered; ServerFailed if the last one was, by a failure; RateLimited if
            the registry takes no more of this caller for a while.
        """
        call = _Call(self, operation, began)
        try:
            outcome = yield from call.attempt()
            if not _may_repeat(outcome):
                return call.answered(outcome)
            return (yield from self._again(call, outcome))
        except RegistryUnavailable as error:
            error.outcome_unknown = call.may_be_done
            raise

    def _again(self, call: "_Call", outcome: Answer | Failure) -> Steps:
        # Most calls end before this: tenacity, which decides here, is imported and set up only after a failure.
        from tenacity import DoSleep, RetryCallState  # noqa: PLC0415 - see above

        deciding = self._deciding(call)
        deciding.begin()
        state = RetryCallState(deciding, None, (), {})
        state.set_result(outcome)
        # tenacity's own drivers are loops like this one: they sleep where a step is yielded here.
        while isinstance(pause_s := deciding.iter(state), DoSleep):
            self.tell("retry", call.key, pause_s=float(pause_s))
            yield Pause(float(pause_s))
            is_paid = not call.is_at_work(_last(state))
            state.prepare_for_next_attempt()
            try:
                state.set_result((yield from call.attempt()))
            except RegistryUnavailable:
                # Not let through, and so never sent: what was paid for it is given back.
                if is_paid:
                    self.budget.take_back()
                raise
        return call.answered(_last(state))

    def _deciding(self, call: "_Call") -> "Retrying":
        from tenacity import Retrying, retry_if_result  # noqa: PLC0415 - see above

        config = self.config

        def pause_s(state: "RetryCallState") -> float:
            doublings = 0 if call.is_at_work(_last(state)) else state.attempt_number - 1
            longest_s = min(config.longest_pause_s, config.first_pause_s * 2**doublings)
            # With several addresses the next attempt goes to another one, which may have asked for nothing; after a 429
            # it goes to the same one, which is well.
            goes_elsewhere = config.replicas and not _is_too_much(_last(state))
            floor_s = self.addresses.rest_s(call.route_class) if goes_elsewhere else retry_after_s(_last(state)) or 0.0
            return floor_s + self._uniform(0, longest_s)

        def over(state: "RetryCallState") -> bool:
            sleep_s, is_at_work = state.upcoming_sleep, call.is_at_work(_last(state))
            enough = state.attempt_number >= config.attempts and not is_at_work
            if enough or sleep_s >= call.left_s():
                return True
            # Nobody waits for what every circuit is going to reject.
            if self.rejects(call.route_class, sleep_s):
                return True
            # Last, for a retry is paid for only when nothing else forbids it. To ask for an answer costs little.
            if is_at_work or self.budget.spend():
                return False
            self.tell("budget", call.key)
            return True

        return Retrying(stop=over, wait=pause_s, retry=retry_if_result(_may_repeat), retry_error_callback=_last)

    def tell(self, happening: Happening, key: str, **facts: object) -> None:
        """Tell the telemetry."""
        isolated(self.telemetry, happening, key, **facts)

    def rejects(self, route_class: RouteClass, in_s: float = 0.0) -> bool:
        """Whether every circuit will then still be open, so that a call is rejected without being sent."""
        circuits = map(self.breakers.circuit, self.addresses.order(route_class))
        return all(circuit.remaining_s() > in_s for circuit in circuits)

    def circuits(self) -> dict[str, CircuitState]:
        """The circuits that calls have met so far, by address and class of routes."""
        return {each.name: CircuitState(each.state, each.remaining_s()) for each in self.breakers.circuits()}

    def enter(self, key: str, limit: int) -> bool:
        """Whether one more call of that class may be under way."""
        with self._lock:
            count = self._under_way.get(key, 0)
            if count >= limit:
                return False
            self._under_way[key] = count + 1
            return True

    def leave(self, key: str) -> None:
        """One call less is under way."""
        with self._lock:
            self._under_way[key] -= 1

    def _changed(self, circuit: str, state: str) -> None:
        self.tell(_HAPPENINGS[state], circuit, retry_after_s=round(self.breakers.circuit(circuit).remaining_s(), 3))


class _Call:
    """One call: its deadline and what was tried."""

    def __init__(self, policy: Policy, operation: Operation[Any], began: float | None) -> None:
        self._policy = policy
        self._config = config = policy.config
        self._clock = policy.clock
        self._began = self._clock() if began is None else began
        self._travelling_s = remaining_s()
        whole = config.deadline_s
        self._deadline_s = whole if self._travelling_s is None else min(whole, self._travelling_s)
        # The transfer of bytes takes as long as it takes, unless the caller has a deadline.
        self._is_transfer = operation.route_class == "blob"
        self._patience_s = config.blob_timeout_s if self._is_transfer else min(config.attempt_timeout_s, whole)
        self._tried: list[Attempt] = []
        self.may_be_done = False
        self.route_class = operation.route_class
        self._traced: tuple[Header, ...] = ()
        self.key = f"{config.url} {operation.route_class}"

    def is_at_work(self, outcome: Answer | Failure) -> bool:
        """Whether the registry is still at the first attempt of this write, whose answer is asked for until it comes.

        Bytes are not: there it is another part that is on its way, and this one would be sent again for nothing.
        """
        return self.route_class == "write" and _is_in_flight(outcome)

    def left_s(self) -> float:
        """How much time is left."""
        return self._began + self._deadline_s - self._clock()

    def attempt(self) -> Generator[Send | Pause, Any, Answer | Failure]:
        """One attempt, if bulkhead and breaker let it through, at the first address whose circuit is not open."""
        if self.left_s() <= 0:
            raise DeadlineExceeded(f"{self.key}: the deadline is over", tried=self._tried)
        rejections = []
        for circuit in self._policy.addresses.order(self.route_class):
            self.key = circuit
            try:
                return (yield from self._admitted())
            except CircuitOpen as rejected:
                rejections.append((rejected.retry_after_s or 0.0, rejected.circuit))
        retry_after_s, circuit = min(rejections)
        raise CircuitOpen(circuit, retry_after_s, tried=self._tried) from None

    def _admitted(self) -> Generator[Send | Pause, Any, Answer | Failure]:
        if not self._policy.enter(self.key, self._config.most_calls):
            raise TooManyCalls(f"{self.key}: {self._config.most_calls} calls are under way", tried=self._tried)
        try:
            return (yield from self._guarded())
        finally:
            self._policy.leave(self.key)

    def _guarded(self) -> Generator[Send | Pause, Any, Answer | Failure]:
        from common_lib.client.breaker import AttemptFailed, NothingLearnt  # noqa: PLC0415 - see Policy

        began, timeout_s = self._clock(), self._timeout_s()
        outcome: Any = None
        try:
            with self._policy.breakers.guard(self.key):
                outcome = yield self._send(timeout_s)
                self.may_be_done = self.may_be_done or _may_be_done(outcome)
                if self._was_cut_short(outcome, timeout_s):
                    outcome = Failure(DeadlineExceeded, f"{self.key}: the deadline cut the attempt short")
                if _says_nothing(outcome):
                    raise NothingLearnt  # noqa: TRY301 - how purgatory is told
                if _is_sick(outcome):
                    raise AttemptFailed  # noqa: TRY301 - the same
        except NothingLearnt:
            pass
        except AttemptFailed:
            self._policy.addresses.failed(self.key, retry_after_s(outcome))
        else:
            self._policy.addresses.answered(self.key)
        told = f"status {outcome.status}" if isinstance(outcome, Answer) else outcome.detail
        took_s = self._clock() - began
        self._tried.append(Attempt(began - self._began, took_s, told, self.key.partition(" ")[0]))
        self._policy.tell("attempt", self.key, outcome=told, took_s=took_s)
        return cast("Answer | Failure", outcome)

    def _timeout_s(self) -> float:
        if self._is_transfer:
            return math.inf if self._travelling_s is None else self.left_s()
        return min(self.left_s(), self._config.attempt_timeout_s)

    def _send(self, timeout_s: float) -> Send:
        if not self._tried:
            self._policy.budget.called()
            self._traced = tracing(self._policy.telemetry)
        headers = self._traced
        if not self._is_transfer or self._travelling_s is not None:
            headers = (("x-request-deadline-ms", str(max(1, int(self.left_s() * 1000)))), *headers)
        return Send(timeout_s, headers, self.key.partition(" ")[0] if self._config.replicas else "")

    def _was_cut_short(self, outcome: Answer | Failure, timeout_s: float) -> bool:
        """Whether it is the caller's deadline that ended it, here or at the server, and not its own time."""
        is_over = outcome.kind is AnswerTimedOut if isinstance(outcome, Failure) else _gave_up(outcome)
        return is_over and timeout_s < _MOST_OF * self._patience_s

    def answered(self, outcome: Answer | Failure) -> Answer:
        """The answer, or the error that the last outcome stands for."""
        if isinstance(outcome, Failure):
            raise outcome.kind(outcome.detail, tried=self._tried)
        if outcome.status in _RETRIED_STATUS:
            failed = refusal(outcome)
            later = retry_after_s(outcome)
            kind = RateLimited if outcome.status == _TOO_MANY else ServerFailed
            raise kind(getattr(failed, "detail", str(failed)), tried=self._tried, retry_after_s=later)
        return outcome


def retry_after_s(outcome: Answer | Failure) -> float | None:
    """How long the server asks to be left alone: seconds or a date, which is compared with the server's own clock.

    Source: RFC 9110, section 10.2.3. What is malformed or not a number says nothing, what is past means now.
    """
    if isinstance(outcome, Failure):
        return None
    text = outcome.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        asked = float(text) if text[:1] in "+-.0123456789" else _until(text, outcome.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, min(asked, _LONGEST_RETRY_AFTER_S))


def _until(text: str, date: str) -> float:
    return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()


def _last(state: "RetryCallState") -> Answer | Failure:
    return cast("Future", state.outcome).result()  # type: ignore[no-any-return]


def _may_repeat(outcome: Answer | Failure) -> bool:
    return isinstance(outcome, Failure) or outcome.status in _RETRIED_STATUS or _is_in_flight(outcome)


def _is_in_flight(outcome: Answer | Failure) -> bool:
    return isinstance(outcome, Answer) and outcome.status == _IN_FLIGHT and b'"request_in_flight"' in outcome.body


def _is_too_much(outcome: Answer | Failure) -> bool:
    return isinstance(outcome, Answer) and outcome.status == _TOO_MANY


def _may_be_done(outcome: Answer | Failure) -> bool:
    """Return whether the server may have done what it was asked, though no answer of success came."""
    if isinstance(outcome, Failure):
        return outcome.sent
    return outcome.status >= 500 or _is_in_flight(outcome)  # noqa: PLR2004 - the border between theirs and ours


def _gave_up(answer: Answer) -> bool:
    return answer.status == _SPENT and b'"deadline_exceeded"' in answer.body


def _says_nothing(outcome: Answer | Failure) -> bool:
    # Of the server: what the caller's own deadline ended, and what waited for a connection of this client.
    return isinstance(outcome, Failure) and outcome.kind in {DeadlineExceeded, TooManyCalls}


def _is_sick(outcome: Answer | Failure) -> bool:
    # 429 is an answer of a server that is well and protects itself.
    return isinstance(outcome, Failure) or outcome.status >= 500  # noqa: PLR2004 - the border between theirs and ours
