"""Errors of requests that the registry refused, or that the client refused because the registry would."""

from typing import Any

from common_lib.errors.base import RegistryError
from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation


class RequestRefused(RegistryError):
    """The registry refused the request; base class of all such errors.

    `code` is stable and listed in `CODES`. `detail` says what is wrong with `value` of `field`, `remedy` what to do.
    With `request_id` an operator finds the request in the server's log. `status` is None if the client found the error
    before sending. `winner` is the decision of another principal that was made first, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        remedy: str = "",
        field: str | None = None,
        value: Any = None,
        status: int | None = None,
        request_id: str | None = None,
        winner: Winner | None = None,
    ) -> None:
        self.detail = detail
        self.code = code
        self.remedy = remedy
        self.field = field
        self.value = value
        self.status = status
        self.request_id = request_id
        self.winner = winner
        super().__init__(f"{detail}; {remedy} [{code}]" if remedy else f"{detail} [{code}]")


class InvalidRequest(RequestRefused):
    """A name, a field or a parameter breaks a rule."""

    @classmethod
    def from_violation(cls, violation: RuleViolation) -> "InvalidRequest":
        """Build the error for a value that breaks a rule, when the client has checked the rule."""
        return cls(
            violation.detail, code=violation.code, remedy=violation.remedy, field=violation.field, value=violation.value
        )


class Unauthenticated(RequestRefused, status=401):
    """The request has no token, or a token that is not valid."""


class Forbidden(RequestRefused, status=403):
    """The principal of the token does not have the required right."""


class DecisionNotAllowed(Forbidden, codes=[Code.HUMAN_REQUIRED, Code.SELF_APPROVAL]):
    """The caller is a service or registered the version, and therefore cannot approve or refuse it."""


class NotFound(RequestRefused, status=404):
    """The object does not exist, or the caller may not read it."""


class ModelNotFound(NotFound, codes=[Code.MODEL_NOT_FOUND]):
    """The model does not exist, or the caller may not read it."""


class VersionNotFound(NotFound, codes=[Code.VERSION_NOT_FOUND]):
    """The model has no such version."""


class AliasNotFound(NotFound, codes=[Code.ALIAS_NOT_FOUND]):
    """The model has no such alias."""


class BlobNotFound(NotFound, codes=[Code.BLOB_NOT_FOUND]):
    """The registry does not have bytes with that digest."""


class BlobDamaged(NotFound, codes=[Code.BLOB_DAMAGED]):
    """The registry has lost the bytes or found them changed; a client that has the bytes can upload them again."""


class UploadNotFound(NotFound, codes=[Code.UPLOAD_NOT_FOUND]):
    """The caller has no such open upload, or the received bytes are lost; start the upload again."""


class FileNotFound(NotFound, codes=[Code.FILE_NOT_FOUND]):
    """The version has no such file, or the version is tombstoned and its files are not served."""


class PrincipalNotFound(NotFound, codes=[Code.PRINCIPAL_NOT_FOUND]):
    """The principal does not exist."""


class TokenNotFound(NotFound, codes=[Code.TOKEN_NOT_FOUND]):
    """The token does not exist."""


class Conflict(RequestRefused, status=409):
    """The current state does not allow the change."""


class AlreadyExists(Conflict, codes=[Code.MODEL_EXISTS, Code.ALIAS_EXISTS, Code.PRINCIPAL_EXISTS]):
    """The name is in use."""


class IllegalTransition(Conflict, codes=[Code.ILLEGAL_TRANSITION]):
    """The version cannot move from its stage to the requested stage."""


class Tombstoned(Conflict, codes=[Code.TOMBSTONED]):
    """The model or version was tombstoned."""


class InUse(Conflict, codes=[Code.VERSION_IN_PRODUCTION, Code.VERSION_ALIASED]):
    """The version is in production, or aliases point at it."""


class ProductionChanged(Conflict, codes=[Code.PRODUCTION_CHANGED]):
    """Another version is in production than the caller expected; `winner` is the decision that put it there."""


class NothingToReturnTo(Conflict, codes=[Code.NOTHING_TO_RETURN_TO]):
    """The model has no earlier production version that a rollback could restore."""


class PolicyNotMet(Conflict, codes=[Code.POLICY_NOT_MET]):
    """The version does not meet the model's policy; `production.check` lists what is missing."""


class AlreadyDecided(Conflict, codes=[Code.ALREADY_DECIDED]):
    """The caller has already given this verdict, and neither the version nor the policy has changed since."""


class BytesMissing(Conflict, codes=[Code.BLOB_MISSING]):
    """The bytes of a file were not uploaded before the version was created."""


class UploadOutOfStep(Conflict, codes=[Code.UPLOAD_OUT_OF_STEP]):
    """A part of an upload does not start where the previous part ended."""


class RequestInFlight(Conflict, codes=[Code.REQUEST_IN_FLIGHT]):
    """The first request with this Idempotency-Key is still running."""

    retryable = True


class VersionRecalled(RequestRefused, status=410):
    """The version is blocked for everyone: it is not resolved, downloaded or loaded until it is reinstated."""


class RevisionRequired(RequestRefused, status=428):
    """The change was sent without the revision that it is based on: pass `revision=`, or `force=True` and a reason."""


class RevisionMismatch(RequestRefused, status=412):
    """The object has changed since it was read: read it again and decide again."""


class IdempotencyKeyReused(RequestRefused, codes=[Code.IDEMPOTENCY_KEY_REUSED]):
    """The Idempotency-Key was used before for another request."""


class TooLarge(RequestRefused, status=413):
    """The body is larger than its limit."""
