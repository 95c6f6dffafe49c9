"""Why the registry says no: one class for each reason, carrying the offending value and what to do about it.

RegistryError
├── InvalidRequest           a field, a header or a query parameter is wrong
│   └── RuleBroken           … by one of the rules the client knows too
├── Unauthenticated          no token, or none that is valid
├── Forbidden                a valid token without the right
├── NotFound                 no such thing, or not for this caller
├── Conflict                 the state does not allow it now
├── Recalled                 the version is blocked for everyone
├── RevisionRequired         a change without If-Match
├── RevisionMismatch         somebody changed it in between
├── IdempotencyKeyReused     the same key with another request
├── RequestInFlight          the same key while the first is still at work
├── ContentRefused           bytes that are not what was announced
├── TooLarge                 a body beyond its limit
├── RateLimited              the caller or its address asks too much in too short a time, or holds too much
├── DeadlineExceeded         the caller has stopped waiting
└── StorageUnavailable       the disk or the database does not answer
"""

from typing import Any, ClassVar

from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation


class RegistryError(Exception):
    """The registry refuses; `code` is stable, `detail` is for people, `remedy` says what to do.

    `winner` is who decided before the caller did, where a race was lost. `retry_after_s` is when to try again.
    """

    code: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        remedy: str,
        field: str | None = None,
        value: Any = None,
        code: str | None = None,
        winner: Winner | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.detail = detail
        self.remedy = remedy
        self.field = field
        self.value = value
        self.reason_code = Code[(code or self.code).upper()]
        self.winner = winner
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class InvalidRequest(RegistryError):
    """A field, a header or a query parameter is wrong."""

    code = "invalid_request"


class RuleBroken(InvalidRequest):
    """A value breaks one of the rules that client and server share."""

    def __init__(self, violation: RuleViolation) -> None:
        super().__init__(
            violation.detail,
            remedy=violation.remedy,
            field=violation.field,
            value=violation.value,
            code=violation.code,
        )


class Unauthenticated(RegistryError):
    """No token, or none that is valid."""

    code = "unauthenticated"


class Forbidden(RegistryError):
    """A valid token without the right."""

    code = "forbidden"


class NotFound(RegistryError):
    """No such thing, or not for this caller."""

    code = "not_found"


class Conflict(RegistryError):
    """The state does not allow it now."""

    code = "conflict"


class Recalled(RegistryError):
    """The version is blocked for everyone."""

    code = "version_recalled"


class RevisionRequired(RegistryError):
    """A change without If-Match."""

    code = "revision_required"


class RevisionMismatch(RegistryError):
    """Somebody changed it in between."""

    code = "revision_mismatch"


class IdempotencyKeyReused(RegistryError):
    """The same key with another request."""

    code = "idempotency_key_reused"


class RequestInFlight(RegistryError):
    """The same key while the first request is still at work."""

    code = "request_in_flight"


class ContentRefused(RegistryError):
    """Bytes that are not what was announced."""

    code = "content_refused"


class TooLarge(RegistryError):
    """A body beyond its limit."""

    code = "too_large"


class RateLimited(RegistryError):
    """The caller or its address asks too much in too short a time, or holds too much at once."""

    code = "rate_limited"


class StorageUnavailable(RegistryError):
    """The disk or the database does not answer."""

    code = "storage_unavailable"


class DeadlineExceeded(RegistryError):
    """The caller has stopped waiting."""

    code = "deadline_exceeded"
