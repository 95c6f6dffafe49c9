"""What happens around an attempt, without any input or output of its own: a generator that two drivers run.

The generator yields `Send` and `Pause`; a driver does what it is told and sends back what came of it. So the blocking
and the asynchronous client follow the same rules by running the same code.
"""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, cast

from common_lib.client.transport import Failure
from common_lib.config import RegistryConfig
from common_lib.errors import RegistryUnavailable, ServerFailed
from common_lib.operations.base import Answer, refusal

_RETRIED_STATUS: Final = frozenset({500, 502, 503, 504})
_IN_FLIGHT: Final = 409


@dataclass(frozen=True, slots=True)
class Send:
    """Attempt the operation within so many seconds."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Steps = Generator[Send | Pause, Any, Answer]


class _AgainError(Exception):
    """The attempt may be repeated: how tenacity is told."""


def attempts(
    config: RegistryConfig,
    *,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Steps:
    """The steps of one call: up to `config.attempts` attempts with pauses of full jitter, within the deadline.

    Every operation may be repeated: reads change nothing, writes carry an Idempotency-Key, bytes go by digest.
    Source of the pauses: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).

    Raises:
        RegistryUnavailable: no attempt was answered; ServerFailed if the last one was, by a failure.
    """
    end = clock() + config.deadline_s
    outcome = yield Send(min(config.attempt_timeout_s, config.deadline_s))
    if not _may_repeat(outcome):
        return _answered(outcome, 1)
    # Most calls end above: tenacity, which decides below, is imported and set up only after a failure.
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_any  # noqa: PLC0415

    def full_jitter(state: RetryCallState) -> float:
        return uniform(0, min(config.longest_pause_s, config.first_pause_s * 2 ** (state.attempt_number - 1)))

    def too_late(state: RetryCallState) -> bool:
        return clock() + state.upcoming_sleep >= end

    pauses: list[float] = []
    made = 1
    deciding = Retrying(
        sleep=pauses.append,
        stop=stop_any(stop_after_attempt(config.attempts), cast("Any", too_late)),
        wait=full_jitter,
        retry=retry_if_exception_type(_AgainError),
        reraise=True,
    )
    try:
        for attempt in deciding:
            # tenacity's attempt swallows whatever passes through it, so nothing is yielded inside.
            if pauses:
                yield Pause(pauses.pop())
                outcome = yield Send(min(config.attempt_timeout_s, end - clock()))
                made += 1
            with attempt:
                _check(outcome)
    except _AgainError:
        pass
    return _answered(outcome, made)


def _check(outcome: Answer | Failure) -> None:
    if _may_repeat(outcome):
        raise _AgainError


def _may_repeat(outcome: Answer | Failure) -> bool:
    if isinstance(outcome, Failure) or outcome.status in _RETRIED_STATUS:
        return True
    return outcome.status == _IN_FLIGHT and b'"request_in_flight"' in outcome.body


def _answered(outcome: Answer | Failure, made: int) -> Answer:
    if isinstance(outcome, Failure):
        raise outcome.kind(outcome.detail, attempts=made)
    if outcome.status in _RETRIED_STATUS:
        failed = refusal(outcome)
        raise ServerFailed(failed.detail if isinstance(failed, RegistryUnavailable) else str(failed), attempts=made)
    return outcome
