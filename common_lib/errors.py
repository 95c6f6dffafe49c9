"""Everything the registry can say no with; no error of httpx, tenacity, pydantic or a database gets past these.

RegistryError
├── InvalidConfiguration         the client itself is set up wrongly
├── RegistryClosed               the client was closed, and is called all the same
├── RequestRefused               the registry answered no: code, detail, remedy, field, value
│   ├── InvalidRequest               a name, field or parameter breaks a rule (also found before sending)
│   ├── Unauthenticated              no token, or none that is valid
│   ├── Forbidden                    the token's principal lacks the right
│   │   └── DecisionNotAllowed           the caller is a service, or registered the version
│   ├── NotFound
│   │   ├── ModelNotFound, VersionNotFound, AliasNotFound, BlobNotFound, BlobDamaged, FileNotFound,
│   │   └── UploadNotFound, PrincipalNotFound, TokenNotFound
│   ├── Conflict                     the state does not allow it now
│   │   ├── AlreadyExists                the name is taken
│   │   ├── IllegalTransition            no move leads from this stage to that one
│   │   ├── Tombstoned                   it was taken out of use
│   │   ├── InUse                        production or an alias stands in the way
│   │   ├── ProductionChanged            something else is in production than the caller saw
│   │   ├── NothingToReturnTo            no version was in production before that could be again
│   │   ├── PolicyNotMet                 the model's policy asks for more
│   │   ├── AlreadyDecided               the same person said the same before
│   │   ├── BytesMissing                 a version names bytes that were not uploaded
│   │   ├── UploadOutOfStep              a part does not follow the one before
│   │   └── RequestInFlight              the first request with this key is still at work
│   ├── VersionRecalled              the version is blocked for everyone
│   ├── RevisionRequired             a change without the revision it is based on
│   ├── RevisionMismatch             somebody changed it in between
│   ├── IdempotencyKeyReused         the same key with another request
│   └── TooLarge                     a body beyond its limit
├── RegistryUnavailable          no answer could be had: what was tried, and whether to try again
│   ├── ConnectionFailed             nobody answers at that address
│   ├── AnswerTimedOut               the answer did not come in time
│   ├── DeadlineExceeded             the time that the caller has was over
│   ├── CircuitOpen                  so many calls failed lately that none is sent for a while
│   ├── TooManyCalls                 as many calls as allowed are under way already
│   ├── RateLimited                  the registry takes no more of this caller or address for a while (429)
│   └── ServerFailed                 the server answered with a failure of its own (5xx)
├── ProtocolError                the answer is not one of a registry
├── DigestMismatch               bytes are not what their digest says; they were not kept
├── NotCached                    asked for without the registry, and never fetched before
├── LocalDiskFailed              a file or folder of this machine cannot be read or written
├── LoadRefused                  a model file that is not loaded: what, why, and what to do
├── NoSafeFormat                 an object that cannot be saved without pickle
└── LibraryMissing               the library of a format is not installed
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation


class RegistryError(Exception):
    """The base of everything this library raises on purpose.

    `retryable` says whether the same call may succeed later although nobody changes anything. After a write whose
    answer did not come, `outcome_unknown` is true, and `registry.retry(error)` repeats the same request under the same
    `idempotency_key`: the registry does it once. Called anew, the same method would do it a second time.
    """

    retryable: ClassVar[bool] = False
    outcome_unknown: bool = False
    idempotency_key: str | None = None
    # What to do about it in the words of this library; a command line has words of its own.
    advice: str = ""
    operation: Any = None
    repeat: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}; {self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[Any, ...]:
        # An error of a worker process is pickled on its way home, and must arrive as it left; how to repeat it stays.
        fields = {name: value for name, value in self.__dict__.items() if name not in {"operation", "repeat"}}
        return _again, (type(self), self.args, fields)


def _again(kind: type[RegistryError], args: tuple[Any, ...], fields: dict[str, Any]) -> RegistryError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class InvalidConfiguration(RegistryError):
    """The client itself is set up wrongly."""


class RegistryClosed(RegistryError):
    """The client was closed before the call, or in the middle of it: make another one."""


class RequestRefused(RegistryError):
    """The registry answered no.

    `code` is stable and listed in `CODES`; `detail` says what is wrong with `value` of `field`, `remedy` what to do,
    `request_id` finds the request in the server's log. `status` is None when the client found it before sending.
    `winner` is whose decision came first, where a race was lost.
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
    """A name, field or parameter breaks a rule."""

    @classmethod
    def from_violation(cls, violation: RuleViolation) -> "InvalidRequest":
        """The refusal of a value that breaks a rule the client knows itself."""
        return cls(
            violation.detail,
            code=violation.code,
            remedy=violation.remedy,
            field=violation.field,
            value=violation.value,
        )


class Unauthenticated(RequestRefused):
    """No token, or none that is valid."""


class Forbidden(RequestRefused):
    """The token's principal lacks the right."""


class DecisionNotAllowed(Forbidden):
    """Services cannot approve or refuse, and nobody can decide on a version they registered."""


class NotFound(RequestRefused):
    """There is no such thing, or not for this caller."""


class ModelNotFound(NotFound):
    """There is no such model for this caller."""


class VersionNotFound(NotFound):
    """The model has no such version."""


class AliasNotFound(NotFound):
    """The model has no such alias."""


class BlobNotFound(NotFound):
    """No bytes of that digest are here."""


class BlobDamaged(NotFound):
    """The registry has lost the bytes, or found them changed; whoever has them may upload them again."""


class UploadNotFound(NotFound):
    """The caller has no such upload under way, or what had come of it is lost: begin it again."""


class FileNotFound(NotFound):
    """The version has no such file, or serves none any more."""


class PrincipalNotFound(NotFound):
    """There is no such principal."""


class TokenNotFound(NotFound):
    """There is no such token."""


class Conflict(RequestRefused):
    """The state does not allow it now."""


class AlreadyExists(Conflict):
    """The name is taken."""


class IllegalTransition(Conflict):
    """No move leads from this stage to that one."""


class Tombstoned(Conflict):
    """It was taken out of use."""


class InUse(Conflict):
    """Production or an alias stands in the way."""


class ProductionChanged(Conflict):
    """Something else is in production than the caller saw; `winner` says whose decision that is."""


class NothingToReturnTo(Conflict):
    """No version was in production before that could be again."""


class PolicyNotMet(Conflict):
    """The model's policy asks for more; `production.check` says for what."""


class AlreadyDecided(Conflict):
    """The same person said the same of the same before."""


class BytesMissing(Conflict):
    """A version names bytes that were not uploaded."""


class UploadOutOfStep(Conflict):
    """A part of an upload does not begin where the one before ended."""


class RequestInFlight(Conflict):
    """The first request with this Idempotency-Key is still at work."""

    retryable = True


class VersionRecalled(RequestRefused):
    """The version is blocked for everyone, and is neither resolved, fetched nor loaded until it is reinstated."""


class RevisionRequired(RequestRefused):
    """A change without the revision it is based on: pass `revision=`, or `force=True` and a reason."""


class RevisionMismatch(RequestRefused):
    """Somebody changed it in between: read it again and decide again."""


class IdempotencyKeyReused(RequestRefused):
    """The same Idempotency-Key with another request."""


class TooLarge(RequestRefused):
    """A body beyond its limit."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call: when it began, in seconds since the call did, how long it took, what came of it, where."""

    began_s: float
    took_s: float
    outcome: str
    url: str = ""


class RegistryUnavailable(RegistryError):
    """No answer could be had; `tried` holds the attempts, `retry_after_s` says when it is worth another call."""

    retryable = True
    _without_attempts: ClassVar[str] = "; not tried"

    def __init__(self, detail: str, *, tried: Sequence[Attempt] = (), retry_after_s: float | None = None) -> None:
        self.detail = detail
        self.tried = tuple(tried)
        self.retry_after_s = retry_after_s
        times = {0: self._without_attempts, 1: "; tried once"}.get(len(self.tried), f"; tried {len(self.tried)} times")
        later = "" if retry_after_s is None else f"; try again in {retry_after_s:.1f} s"
        super().__init__(f"{detail}{times}{later}")


class ConnectionFailed(RegistryUnavailable):
    """Nobody answers at that address."""


class AnswerTimedOut(RegistryUnavailable):
    """The answer did not come in time."""


class DeadlineExceeded(RegistryUnavailable):
    """The time that the caller has was over."""


class CircuitOpen(RegistryUnavailable):
    """So many calls failed lately that none is sent for a while; `circuit` is the address and the class of routes."""

    def __init__(self, circuit: str, retry_after_s: float, *, tried: Sequence[Attempt] = ()) -> None:
        self.circuit = circuit
        super().__init__(f"the circuit {circuit} is open", tried=tried, retry_after_s=retry_after_s)


class TooManyCalls(RegistryUnavailable):
    """As many calls of this client as it allows are under way already."""


class RateLimited(RegistryUnavailable):
    """The registry takes no more of this caller or its address for a while; `retry_after_s` says for how long."""

    _without_attempts = ""  # it was answered


class ServerFailed(RegistryUnavailable):
    """The server answered with a failure of its own (5xx)."""

    _without_attempts = ""  # it was answered


class ProtocolError(RegistryError):
    """The answer is not one of a registry; perhaps the address is that of something else.

    `field` and `value` are the wrong part of it, where it could be read so far.
    """

    def __init__(self, detail: str, *, field: str | None = None, value: Any = None) -> None:
        self.field = field
        self.value = value
        super().__init__(detail)


class DigestMismatch(RegistryError):
    """Bytes are not what their digest says; they were not kept."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        super().__init__(f"{what} should have the SHA-256 {expected} but has {actual}; it was not kept, fetch it again")


class NotCached(RegistryError):
    """It was asked for without the registry, and is not in the local cache."""

    def __init__(self, what: str, cache: str) -> None:
        self.what = what
        self.cache = cache
        super().__init__(f"{what} is not in the cache {cache} for this token; fetch it once while the registry answers")


class LocalDiskFailed(RegistryError):
    """A file or folder of this machine, of the cache or of the caller's own, cannot be read or written."""

    def __init__(self, path: str, *, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path!r}: {why}; mend it or free space there, then try again: whatever is whole is kept")


class LoadRefused(RegistryError):
    """A file is not loaded: `what` it is, `why` not, and the `remedy`."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class NoSafeFormat(RegistryError):
    """An object cannot be saved without pickle: `what` it is, `why` not, and the `remedy`."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class LibraryMissing(RegistryError):
    """The library that reads or writes a format is not installed; `extra` of this distribution brings it."""

    def __init__(self, library: str, *, extra: str, why: str) -> None:
        self.library = library
        self.extra = extra
        super().__init__(
            f"{library} cannot be imported ({why}); install it with pip install 'model-registry-service[{extra}]'"
        )


Answered = type[RequestRefused] | type[RateLimited] | type[ServerFailed]
_BY_STATUS: Final[Mapping[int, Answered]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: VersionRecalled,
    412: RevisionMismatch,
    413: TooLarge,
    428: RevisionRequired,
    429: RateLimited,
}
_BY_CODE: Final[Mapping[Code, Answered]] = {
    Code.HUMAN_REQUIRED: DecisionNotAllowed,
    Code.SELF_APPROVAL: DecisionNotAllowed,
    Code.MODEL_NOT_FOUND: ModelNotFound,
    Code.VERSION_NOT_FOUND: VersionNotFound,
    Code.ALIAS_NOT_FOUND: AliasNotFound,
    Code.BLOB_NOT_FOUND: BlobNotFound,
    Code.BLOB_DAMAGED: BlobDamaged,
    Code.UPLOAD_NOT_FOUND: UploadNotFound,
    Code.FILE_NOT_FOUND: FileNotFound,
    Code.PRINCIPAL_NOT_FOUND: PrincipalNotFound,
    Code.TOKEN_NOT_FOUND: TokenNotFound,
    Code.MODEL_EXISTS: AlreadyExists,
    Code.ALIAS_EXISTS: AlreadyExists,
    Code.PRINCIPAL_EXISTS: AlreadyExists,
    Code.ILLEGAL_TRANSITION: IllegalTransition,
    Code.TOMBSTONED: Tombstoned,
    Code.PRODUCTION_CHANGED: ProductionChanged,
    Code.NOTHING_TO_RETURN_TO: NothingToReturnTo,
    Code.POLICY_NOT_MET: PolicyNotMet,
    Code.ALREADY_DECIDED: AlreadyDecided,
    Code.VERSION_IN_PRODUCTION: InUse,
    Code.VERSION_ALIASED: InUse,
    Code.BLOB_MISSING: BytesMissing,
    Code.UPLOAD_OUT_OF_STEP: UploadOutOfStep,
    Code.REQUEST_IN_FLIGHT: RequestInFlight,
    Code.IDEMPOTENCY_KEY_REUSED: IdempotencyKeyReused,
}


def class_of_status(status: int) -> Answered:
    """Return the class of an error whose code is not known, such as that of a newer server."""
    return ServerFailed if status >= 500 else _BY_STATUS.get(status, InvalidRequest)  # noqa: PLR2004 - server's fault


CODES: Final[Mapping[str, Answered]] = {code: _BY_CODE.get(code, class_of_status(code.status)) for code in Code}
