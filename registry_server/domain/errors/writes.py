"""Errors of idempotency keys, revisions and deadlines."""

from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.references import format_moment
from registry_server.domain.errors.base import RegistryError


class IdempotencyKeyMissing(RegistryError, code=Code.IDEMPOTENCY_KEY_REQUIRED, field="Idempotency-Key"):
    """A change was sent without an Idempotency-Key."""

    detail = "the request changes something, but has no Idempotency-Key"
    remedy = "send a new random UUID with each change, and the same one when you repeat it"


class IdempotencyKeyReused(RegistryError, code=Code.IDEMPOTENCY_KEY_REUSED, field="Idempotency-Key"):
    """The Idempotency-Key was used before for another request."""

    detail = "this Idempotency-Key was used before for another request"
    remedy = "use a new key for a new request"


class RequestInFlight(RegistryError, code=Code.REQUEST_IN_FLIGHT, field="Idempotency-Key"):
    """The first request with this Idempotency-Key is still running."""

    retry_after_s = 1.0
    detail = "the first request with this Idempotency-Key is still running"
    remedy = "repeat the request in a second; the response will be that of the first request"


class RevisionRequired(RegistryError, code=Code.REVISION_REQUIRED, field="If-Match"):
    """A change was sent without the revision that it is based on."""

    detail = "the request does not contain the revision that the change is based on"
    remedy = "read the object and send its ETag as If-Match, or force the change with If-Match: * and a reason"


class IfMatchMalformed(RegistryError, code=Code.INVALID_IF_MATCH, field="If-Match"):
    """If-Match does not contain an ETag of this registry."""

    detail = "If-Match does not contain an ETag of this registry"
    remedy = 'send the ETag as it was received, such as "3", or *'


class RevisionMismatch(RegistryError, code=Code.REVISION_MISMATCH, field="If-Match"):
    """The object has changed: its revision is not the one that the change is based on."""

    remedy = "read the object again, decide again, and send its new ETag, without W/"

    def __init__(self, if_match: str, revision: int) -> None:
        super().__init__(if_match, f"the object is at revision {revision}, but If-Match is {if_match:.100}")

    def name_winner(self, winner: Winner | None) -> None:
        """Add to the error the decision that changed the object, because the caller has not seen it."""
        self.winner = winner
        if winner is not None:
            self.detail += f": {winner.by} decided about this object at {format_moment(winner.at)}"


class ChangedMeanwhile(RegistryError, code=Code.REVISION_MISMATCH, field="If-Match"):
    """Another request changed the object after its revision was checked."""

    remedy = "read the object again, decide again, and send its new ETag"

    def __init__(self, what: str) -> None:
        super().__init__(detail=f"another request changed the {what} at the same time")


class DeadlineMalformed(RegistryError, code=Code.INVALID_REQUEST, field="X-Request-Deadline-Ms"):
    """The deadline of the request is not a number of milliseconds."""

    detail = "X-Request-Deadline-Ms is not a whole number of milliseconds"
    remedy = "send how many milliseconds you will wait, such as 2500"


class DeadlineExceeded(RegistryError, code=Code.DEADLINE_EXCEEDED, field="X-Request-Deadline-Ms"):
    """The deadline of the request passed before the server had a response."""

    detail = "the deadline of {value} ms passed before the server had a response"
    remedy = "repeat the request with the same Idempotency-Key (it is executed only once) and a longer deadline"
