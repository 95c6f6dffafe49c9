"""Judgements about the outcome of one attempt, which is an `Answer` or a `Failure`."""

from email.utils import parsedate_to_datetime
from typing import Final

from common_lib.client.failures import Failure
from common_lib.errors import DeadlineExceeded, TooManyCalls
from common_lib.operations.base import Answer

RETRIED_STATUS: Final = frozenset({429, 500, 502, 503, 504})
RATE_LIMITED: Final = 429
_IN_FLIGHT: Final = 409
_GATEWAY_TIMEOUT: Final = 504
_MAX_RETRY_AFTER_S: Final = 1e6
Outcome = Answer | Failure


def retry_after_s(outcome: Outcome) -> float | None:
    """Return how many seconds the server asks the client to wait; None if it does not ask, or not in a valid form.

    A date is compared with the server's own clock; one in the past means now.

    Source: RFC 9110, section 10.2.3.
    """
    if isinstance(outcome, Failure):
        return None
    text = outcome.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text) if text[:1] in "+-.0123456789" else _until(text, outcome.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, min(seconds, _MAX_RETRY_AFTER_S))


def is_retryable(outcome: Outcome) -> bool:
    """Return whether another attempt may succeed."""
    return isinstance(outcome, Failure) or outcome.status in RETRIED_STATUS or is_in_flight(outcome)


def is_in_flight(outcome: Outcome) -> bool:
    """Return whether the server is still executing an earlier attempt of the same request."""
    return isinstance(outcome, Answer) and outcome.status == _IN_FLIGHT and b'"request_in_flight"' in outcome.body


def is_rate_limited(outcome: Outcome) -> bool:
    """Return whether the server accepts no more requests of this caller for a while."""
    return isinstance(outcome, Answer) and outcome.status == RATE_LIMITED


def may_have_effect(outcome: Outcome) -> bool:
    """Return whether the server may have executed the request although it did not report success."""
    if isinstance(outcome, Failure):
        return outcome.sent
    return outcome.status >= 500 or is_in_flight(outcome)  # noqa: PLR2004 - failures of the server


def is_deadline_exceeded(outcome: Answer) -> bool:
    """Return whether the server gave up because the deadline of the caller had passed."""
    return outcome.status == _GATEWAY_TIMEOUT and b'"deadline_exceeded"' in outcome.body


def is_inconclusive(outcome: Outcome) -> bool:
    """Return whether an outcome shows nothing about the server, because the client ended or delayed the attempt."""
    return isinstance(outcome, Failure) and outcome.kind in {DeadlineExceeded, TooManyCalls}


def is_server_failure(outcome: Outcome) -> bool:
    """Return whether an outcome counts as a failure in the circuit; 429 comes from a server that protects itself."""
    return isinstance(outcome, Failure) or outcome.status >= 500  # noqa: PLR2004 - failures of the server


def _until(text: str, date: str) -> float:
    return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
