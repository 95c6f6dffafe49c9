"""Classify the outcome of one attempt: whether to retry, how long to wait, and how the circuit counts the outcome.

An outcome is an `Answer` of the server, or a `Failure` of the network.
"""

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
    """Return how many seconds the server asks the client to wait; None if `Retry-After` is missing or invalid.

    A date in `Retry-After` is compared with the `Date` header of the same answer. For a date in the past, return 0.0.

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
    """Return whether another attempt of the same request may succeed."""
    return isinstance(outcome, Failure) or outcome.status in RETRIED_STATUS or is_in_flight(outcome)


def is_in_flight(outcome: Outcome) -> bool:
    """Return whether the server is still executing an earlier attempt of the same request."""
    return isinstance(outcome, Answer) and outcome.status == _IN_FLIGHT and b'"request_in_flight"' in outcome.body


def is_rate_limited(outcome: Outcome) -> bool:
    """Return whether the server refused the request because the caller has sent too many requests (429)."""
    return isinstance(outcome, Answer) and outcome.status == RATE_LIMITED


def may_have_effect(outcome: Outcome) -> bool:
    """Return whether the server may have executed the request although it did not report success."""
    if isinstance(outcome, Failure):
        return outcome.sent
    return outcome.status >= 500 or is_in_flight(outcome)  # noqa: PLR2004 - failures of the server


def is_deadline_exceeded(outcome: Answer) -> bool:
    """Return whether the server stopped the request because the deadline of the caller had passed."""
    return outcome.status == _GATEWAY_TIMEOUT and b'"deadline_exceeded"' in outcome.body


def is_inconclusive(outcome: Outcome) -> bool:
    """Return whether the circuit ignores an outcome, because the client itself ended or delayed the attempt."""
    return isinstance(outcome, Failure) and outcome.kind in {DeadlineExceeded, TooManyCalls}


def is_server_failure(outcome: Outcome) -> bool:
    """Return whether the circuit counts an outcome as a failure. Status 429 does not count: that server works."""
    return isinstance(outcome, Failure) or outcome.status >= 500  # noqa: PLR2004 - failures of the server


def _until(text: str, date: str) -> float:
    return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
