"""Apply retries, bulkhead, circuit breaker and deadline to each call, without any input or output.

The chain is a generator. It yields the steps `Send` and `Pause`. A driver executes each step and returns its outcome.
So the blocking and the asynchronous client run the same code, in this order:

deadline → retry, within a budget → bulkhead → circuit breaker → attempt timeout → transport

The retry is outside the circuit breaker, so the circuit counts every attempt. A call is not retried while its circuit
is open.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from common_lib.client import outcomes
from common_lib.client.endpoints import Endpoints
from common_lib.client.failures import Failure
from common_lib.client.outcomes import Outcome
from common_lib.client.retry_budget import RetryBudget
from common_lib.client.steps import AttemptSteps, Header, Pause, Send
from common_lib.client.telemetry import ClientEvent, Logging, Telemetry, notify, trace_headers
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

# If an attempt had less than this share of its full timeout, its timeout counts as the end of the deadline.
_FAIR_SHARE: Final = 0.9
_EVENTS: Final[dict[str, ClientEvent]] = {"opened": "open", "half-opened": "half-open", "closed": "close"}
OutcomeSteps = Generator[Send | Pause, Any, Outcome]


@dataclass(frozen=True, slots=True)
class CircuitState:
    """The state of a circuit (`closed`, `opened`, or `half-opened` during a probe), and how long it rejects calls."""

    state: str
    retry_after_s: float


class Resilience:
    """The retry budget, bulkhead, circuits and endpoints that all calls of one client share."""

    def __init__(
        self,
        config: RegistryConfig,
        *,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        # purgatory takes 50 ms to import: only processes that make a client pay for it.
        from common_lib.client.breaker import Breakers  # noqa: PLC0415 - see above

        self.config = config
        self.telemetry = telemetry or Logging()
        self.clock = clock
        self._uniform = uniform
        self.budget = RetryBudget(config.retry_ratio, config.retry_most)
        self._under_way: dict[str, int] = {}
        self.endpoints = Endpoints(config.urls, config.breaker.open_s, clock)
        self._lock = threading.Lock()
        self.breakers = Breakers(config.breaker, clock=clock, uniform=uniform, listener=self._on_state_change)

    def steps(self, operation: Operation[Any], began: float | None = None) -> AttemptSteps:
        """Run the attempts of one call within its deadline, with random pauses between the attempts.

        The deadline counts from `began`, a time on the clock of this client, or else from now.

        Every operation can be repeated: reads change nothing, writes have an Idempotency-Key, and bytes have a digest.
        Source of the pauses: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).

        Raises:
            RegistryUnavailable: no attempt got a valid answer. It is `ServerFailed` if the server failed, and
                `RateLimited` if the caller has sent too many requests.
        """
        attempts = _Attempts(self, operation, began)
        try:
            outcome = yield from attempts.attempt()
            if not outcomes.is_retryable(outcome):
                return attempts.answer_or_raise(outcome)
            return (yield from self._retry(attempts, outcome))
        except RegistryUnavailable as error:
            error.outcome_unknown = attempts.may_have_effect
            raise

    def _retry(self, attempts: "_Attempts", outcome: Outcome) -> AttemptSteps:
        # Most calls never come here, so tenacity is imported and set up only after a failure.
        from tenacity import DoSleep, RetryCallState  # noqa: PLC0415 - see above

        retrying = self._retrying(attempts)
        retrying.begin()
        state = RetryCallState(retrying, None, (), {})
        state.set_result(outcome)
        # This loop is like that of tenacity, but yields a step instead of sleeping.
        while isinstance(pause_s := retrying.iter(state), DoSleep):
            self.notify("retry", attempts.key, pause_s=float(pause_s))
            yield Pause(float(pause_s))
            is_paid = not attempts.is_executing(_last(state))
            state.prepare_for_next_attempt()
            try:
                state.set_result((yield from attempts.attempt()))
            except RegistryUnavailable:
                # The retry was rejected, so it was never sent.
                if is_paid:
                    self.budget.refund()
                raise
        return attempts.answer_or_raise(_last(state))

    def _retrying(self, attempts: "_Attempts") -> "Retrying":
        from tenacity import Retrying, retry_if_result  # noqa: PLC0415 - see above

        config = self.config

        def pause_s(state: "RetryCallState") -> float:
            last = _last(state)
            doublings = 0 if attempts.is_executing(last) else state.attempt_number - 1
            longest_s = min(config.longest_pause_s, config.first_pause_s * 2**doublings)
            # With several endpoints, the next attempt uses another endpoint, which may not require a pause. After a 429
            # it uses the same endpoint, which works.
            goes_elsewhere = config.replicas and not outcomes.is_rate_limited(last)
            server_s = outcomes.retry_after_s(last) or 0.0
            floor_s = self.endpoints.retry_after_s(attempts.route_class) if goes_elsewhere else server_s
            return floor_s + self._uniform(0, longest_s)

        def should_stop(state: "RetryCallState") -> bool:
            sleep_s, is_executing = state.upcoming_sleep, attempts.is_executing(_last(state))
            is_last = state.attempt_number >= config.attempts and not is_executing
            if is_last or sleep_s >= attempts.left_s():
                return True
            # A pause is useless if every circuit is still open after it.
            if self.is_rejecting(attempts.route_class, sleep_s):
                return True
            # Checked last, so that a token is spent only if nothing else forbids the retry. A repeated request for a
            # write that the server is executing costs the server little, so it costs no token.
            if is_executing or self.budget.withdraw():
                return False
            self.notify("budget", attempts.key)
            return True

        return Retrying(
            stop=should_stop, wait=pause_s, retry=retry_if_result(outcomes.is_retryable), retry_error_callback=_last
        )

    def notify(self, event: ClientEvent, key: str, **facts: object) -> None:
        """Pass an event to the telemetry."""
        notify(self.telemetry, event, key, **facts)

    def is_rejecting(self, route_class: RouteClass, in_s: float = 0.0) -> bool:
        """Return whether all circuits of a class of routes will still reject calls after `in_s` seconds."""
        circuits = map(self.breakers.circuit, self.endpoints.order(route_class))
        return all(circuit.remaining_s() > in_s for circuit in circuits)

    def circuits(self) -> dict[str, CircuitState]:
        """Return the state of each circuit that calls have used; the key is the endpoint and the class of routes."""
        return {each.name: CircuitState(each.state, each.remaining_s()) for each in self.breakers.circuits()}

    def enter_bulkhead(self, key: str, limit: int) -> bool:
        """Add a call to the calls in progress. Return False, and do not add it, if `limit` is reached."""
        with self._lock:
            count = self._under_way.get(key, 0)
            if count >= limit:
                return False
            self._under_way[key] = count + 1
            return True

    def leave_bulkhead(self, key: str) -> None:
        """Remove a call from the calls in progress."""
        with self._lock:
            self._under_way[key] -= 1

    def _on_state_change(self, circuit: str, state: str) -> None:
        self.notify(_EVENTS[state], circuit, retry_after_s=round(self.breakers.circuit(circuit).remaining_s(), 3))


class _Attempts:
    """One call: its deadline, and its attempts until now."""

    def __init__(self, resilience: Resilience, operation: Operation[Any], began: float | None) -> None:
        self._resilience = resilience
        self._config = config = resilience.config
        self._clock = resilience.clock
        self._began = self._clock() if began is None else began
        self._caller_deadline_s = remaining_s()
        within_s = math.inf if self._caller_deadline_s is None else self._caller_deadline_s
        self._deadline_s = min(config.deadline_s, within_s)
        # The transfer of bytes has no time limit of its own, unless the caller set a deadline.
        self._is_transfer = operation.route_class == "blob"
        attempt_s = min(config.attempt_timeout_s, config.deadline_s)
        self._full_timeout_s = config.blob_timeout_s if self._is_transfer else attempt_s
        self._tried: list[Attempt] = []
        self.may_have_effect = False
        self.route_class = operation.route_class
        self._trace_headers: tuple[Header, ...] = ()
        self.key = f"{config.url} {operation.route_class}"

    def is_executing(self, outcome: Outcome) -> bool:
        """Return whether the server is still executing this write, so that the client must repeat it to get its result.

        Return False for an upload: the server is receiving another part, and would not accept the repeated bytes.
        """
        return self.route_class == "write" and outcomes.is_in_flight(outcome)

    def left_s(self) -> float:
        """Return how many seconds are left until the deadline."""
        return self._began + self._deadline_s - self._clock()

    def attempt(self) -> OutcomeSteps:
        """Make one attempt at the first endpoint whose circuit is not open.

        Raises:
            DeadlineExceeded: no time is left.
            CircuitOpen: all circuits are open.
            TooManyCalls: the bulkhead is full.
        """
        if self.left_s() <= 0:
            raise DeadlineExceeded(f"{self.key}: the deadline has passed", tried=self._tried)
        rejections = []
        for circuit in self._resilience.endpoints.order(self.route_class):
            self.key = circuit
            try:
                return (yield from self._within_bulkhead())
            except CircuitOpen as rejected:
                rejections.append((rejected.retry_after_s or 0.0, rejected.circuit))
        seconds, circuit = min(rejections)
        raise CircuitOpen(circuit, seconds, tried=self._tried) from None

    def _within_bulkhead(self) -> OutcomeSteps:
        if not self._resilience.enter_bulkhead(self.key, self._config.most_calls):
            detail = f"{self.key}: {self._config.most_calls} calls are in progress, which is the limit of most_calls"
            raise TooManyCalls(detail, tried=self._tried)
        try:
            return (yield from self._within_breaker())
        finally:
            self._resilience.leave_bulkhead(self.key)

    def _within_breaker(self) -> OutcomeSteps:
        from common_lib.client.breaker import AttemptFailed, Inconclusive  # noqa: PLC0415 - see Resilience

        began, timeout_s = self._clock(), self._timeout_s()
        outcome: Any = None
        try:
            with self._resilience.breakers.guard(self.key):
                outcome = yield self._send(timeout_s)
                self.may_have_effect = self.may_have_effect or outcomes.may_have_effect(outcome)
                if self._was_cut_short(outcome, timeout_s):
                    outcome = Failure(DeadlineExceeded, f"{self.key}: the deadline passed during the attempt")
                if outcomes.is_inconclusive(outcome):
                    raise Inconclusive  # noqa: TRY301 - purgatory takes results as exceptions
                if outcomes.is_server_failure(outcome):
                    raise AttemptFailed  # noqa: TRY301 - the same
        except Inconclusive:
            pass
        except AttemptFailed:
            self._resilience.endpoints.record_failure(self.key, outcomes.retry_after_s(outcome))
        else:
            self._resilience.endpoints.record_success(self.key)
        self._record_attempt(outcome, began)
        return cast("Outcome", outcome)

    def _record_attempt(self, outcome: Outcome, began: float) -> None:
        text = f"status {outcome.status}" if isinstance(outcome, Answer) else outcome.detail
        took_s = self._clock() - began
        self._tried.append(Attempt(began - self._began, took_s, text, self.key.partition(" ")[0]))
        self._resilience.notify("attempt", self.key, outcome=text, took_s=took_s)

    def _timeout_s(self) -> float:
        if self._is_transfer:
            return math.inf if self._caller_deadline_s is None else self.left_s()
        return min(self.left_s(), self._config.attempt_timeout_s)

    def _send(self, timeout_s: float) -> Send:
        if not self._tried:
            self._resilience.budget.deposit()
            self._trace_headers = trace_headers(self._resilience.telemetry)
        headers = self._trace_headers
        if not self._is_transfer or self._caller_deadline_s is not None:
            headers = (("x-request-deadline-ms", str(max(1, int(self.left_s() * 1000)))), *headers)
        return Send(timeout_s, headers, self.key.partition(" ")[0] if self._config.replicas else "")

    def _was_cut_short(self, outcome: Outcome, timeout_s: float) -> bool:
        """Return whether the deadline of the call ended the attempt before its own timeout."""
        is_timeout = (
            outcome.kind is AnswerTimedOut if isinstance(outcome, Failure) else outcomes.is_deadline_exceeded(outcome)
        )
        return is_timeout and timeout_s < _FAIR_SHARE * self._full_timeout_s

    def answer_or_raise(self, outcome: Outcome) -> Answer:
        """Return the answer of the last attempt, or raise the error if the attempt failed."""
        if isinstance(outcome, Failure):
            raise outcome.kind(outcome.detail, tried=self._tried)
        if outcome.status in outcomes.RETRIED_STATUS:
            error = refusal(outcome)
            kind = RateLimited if outcome.status == outcomes.RATE_LIMITED else ServerFailed
            detail = getattr(error, "detail", str(error))
            raise kind(detail, tried=self._tried, retry_after_s=outcomes.retry_after_s(outcome))
        return outcome


def _last(state: "RetryCallState") -> Outcome:
    return cast("Future", state.outcome).result()  # type: ignore[no-any-return]
