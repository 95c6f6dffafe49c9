"""From an error to RFC 9457 `application/problem+json`: one table, and nothing else ever leaves the server."""

import logging
import math
import reprlib
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from common_lib.rules import names
from common_lib.rules.violation import RuleViolation
from registry_server.api import methods
from registry_server.api.telemetry import get_request_id
from registry_server.domain.errors import ContentRefused, InvalidRequest, NotFound, RegistryError, RuleBroken, TooLarge
from registry_server.domain.production import Winner

_log = logging.getLogger("registry_server.problems")
_DETAIL_LENGTH = 1_000
_VALUE_LENGTH = 200


class Kind(NamedTuple):
    """What a code means over HTTP."""

    status: int
    title: str


PROBLEMS: Final = {
    "malformed_request": Kind(400, "The request is no HTTP"),
    "request_timeout": Kind(408, "The request did not come in time"),
    "misdirected_request": Kind(421, "The request is for another server"),
    "head_too_large": Kind(431, "The head of the request is too large"),
    "too_many_connections": Kind(503, "There are too many connections"),
    "invalid_request": Kind(422, "The request is not valid"),
    "invalid_json": Kind(400, "The body is not JSON as RFC 8259 means it"),
    "invalid_name": Kind(422, "A name breaks its rule"),
    "reserved_name": Kind(422, "A name already has a meaning"),
    "invalid_path": Kind(422, "An artifact path breaks its rule"),
    "invalid_digest": Kind(422, "A digest is malformed"),
    "invalid_manifest": Kind(422, "A manifest breaks its rule"),
    "invalid_reference": Kind(422, "A reference names no version"),
    "as_of_out_of_range": Kind(422, "Nothing is known of that moment"),
    "invalid_policy": Kind(422, "A policy breaks its rule"),
    "invalid_tag": Kind(422, "A tag breaks its rule"),
    "invalid_text": Kind(422, "A text holds forbidden characters"),
    "text_too_long": Kind(422, "A text is too long"),
    "too_many_entries": Kind(422, "There are too many entries"),
    "field_too_large": Kind(422, "A field has too many bytes"),
    "duplicate_entry": Kind(422, "A list names one thing twice"),
    "invalid_page_token": Kind(422, "The page token does not fit"),
    "invalid_if_match": Kind(400, "If-Match is malformed"),
    "invalid_idempotency_key": Kind(400, "The Idempotency-Key is malformed"),
    "idempotency_key_required": Kind(400, "A change needs an Idempotency-Key"),
    "reason_required": Kind(422, "A reason is required"),
    "unauthenticated": Kind(401, "No valid token"),
    "forbidden": Kind(403, "The right is missing"),
    "human_required": Kind(403, "Only a human can decide this"),
    "self_approval": Kind(403, "Nobody decides about what is their own"),
    "not_found": Kind(404, "There is no such thing"),
    "model_not_found": Kind(404, "There is no such model"),
    "version_not_found": Kind(404, "There is no such version"),
    "alias_not_found": Kind(404, "There is no such alias"),
    "blob_not_found": Kind(404, "There is no such blob"),
    "blob_damaged": Kind(404, "The bytes are damaged or lost"),
    "upload_not_found": Kind(404, "There is no such upload"),
    "file_not_found": Kind(404, "There is no such file"),
    "principal_not_found": Kind(404, "There is no such principal"),
    "token_not_found": Kind(404, "There is no such token"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "conflict": Kind(409, "The state does not allow it"),
    "model_exists": Kind(409, "The model exists"),
    "alias_exists": Kind(409, "The alias exists"),
    "principal_exists": Kind(409, "The principal exists"),
    "last_admin": Kind(409, "Nobody else can administer the registry"),
    "illegal_transition": Kind(409, "The move is not legal"),
    "tombstoned": Kind(409, "It was taken out of use"),
    "production_changed": Kind(409, "Something else is in production"),
    "nothing_to_return_to": Kind(409, "There is no version to return to"),
    "policy_not_met": Kind(409, "The model's policy is not met"),
    "already_decided": Kind(409, "It was decided so already"),
    "version_in_production": Kind(409, "The version is in production"),
    "version_aliased": Kind(409, "Aliases point at the version"),
    "blob_missing": Kind(409, "The bytes of the version are missing"),
    "upload_out_of_step": Kind(409, "The part does not follow the one before"),
    "request_in_flight": Kind(409, "The first request is still at work"),
    "version_recalled": Kind(410, "The version is recalled"),
    "revision_mismatch": Kind(412, "Somebody changed it in between"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The media type is not taken here"),
    "range_not_satisfiable": Kind(416, "There is no such range"),
    "content_refused": Kind(422, "The bytes are not what was announced"),
    "digest_mismatch": Kind(422, "The bytes have another digest"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key belongs to another request"),
    "revision_required": Kind(428, "A change needs the revision it is based on"),
    "rate_limited": Kind(429, "Too much was asked in too short a time"),
    "too_many_failures": Kind(429, "Too many wrong tokens came from this address"),
    "quota_exceeded": Kind(429, "The principal holds as much as it may"),
    "internal": Kind(500, "The server failed"),
    "storage_unavailable": Kind(503, "The storage does not answer"),
    "blob_store_missing": Kind(503, "The folder of bytes is missing"),
    "deadline_exceeded": Kind(504, "The caller's time is over"),
    "storage_full": Kind(507, "The storage is full"),
}
_RETRY_AFTER_S = 1
# By status, so that a new code with one of these statuses has the header too.
_BY_STATUS: Final = {
    401: {"www-authenticate": 'Bearer realm="model-registry"'},
    429: {"retry-after": f"{_RETRY_AFTER_S}"},
    503: {"retry-after": f"{_RETRY_AFTER_S}"},
}
_BY_CODE: Final = {
    "request_in_flight": {"retry-after": f"{_RETRY_AFTER_S}"},
    "blob_store_missing": {"retry-after": "60"},  # somebody has to mount a disk
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success (RFC 9457), with a stable `code` and what to do."""

    type: str
    title: str
    status: int
    code: Annotated[str, msgspec.Meta(pattern=names.CODE)]
    detail: str
    remedy: str
    request_id: Annotated[str, msgspec.Meta(pattern=names.REQUEST_ID)]
    field: str | None = None
    value: str | None = None
    winner: Winner | None = None


def answer(error: RegistryError, request_id: str) -> Response[bytes]:
    """Build the answer that an error becomes; an error may bring `headers` of its own."""
    code = error.reason_code
    kind = PROBLEMS[code]
    problem = Problem(
        type=f"urn:model-registry:problem:{code}",
        title=kind.title,
        status=kind.status,
        code=code,
        detail=_shown(error.detail, _DETAIL_LENGTH),
        remedy=error.remedy,
        request_id=request_id,
        field=None if error.field is None else _shown(error.field, _VALUE_LENGTH),
        value=None if error.value is None else _shown(error.value, _VALUE_LENGTH),
        winner=error.winner,
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=kind.status,
        media_type="application/problem+json",
        headers=_BY_STATUS.get(kind.status, {}) | _BY_CODE.get(code, {}) | getattr(error, "headers", {}) | _wait(error),
    )


def _wait(error: RegistryError) -> dict[str, str]:
    """Return Retry-After if the error knows better than its status."""
    return {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}


def raw_headers(answer: Response[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem as ASGI has them, for those who send it without Litestar."""
    own = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    length = b"%d" % len(answer.content)
    return [(b"content-type", b"application/problem+json"), (b"content-length", length), *own]


def on_refusal(request: Request[Any, Any, Any], error: RegistryError) -> Response[bytes]:
    """The registry said no."""
    scope: Any = request.scope
    scope["registry_code"] = error.reason_code
    if PROBLEMS[error.reason_code].status >= 500:  # noqa: PLR2004 - the border between their fault and ours
        _log.error("%s", error.detail, exc_info=error, extra={"request_id": get_request_id(request)})
    return answer(error, get_request_id(request))


def on_violation(request: Request[Any, Any, Any], error: RuleViolation) -> Response[bytes]:
    """A rule said no to a value in the address."""
    return on_refusal(request, RuleBroken(error))


def on_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar said no: no such route, wrong method, body too large or cut off, a parameter of the wrong type."""
    headers: dict[str, str] = {}
    remedy = f"see {request.app.state.openapi_path} for what this address takes"
    refusal: RegistryError
    match error:
        case ValidationException():
            refusal = _of_parameter(request, error, remedy)
        case NotFoundException():
            path = request.scope["path"]
            refusal = NotFound(f"there is nothing at {path!r:.200}", remedy=remedy, field="path", value=path)
        case MethodNotAllowedException():
            headers = {"allow": methods.format_allow((error.headers or {})["allow"].split(", "))}
            refusal = InvalidRequest(
                f"{request.method!r:.50} is not a method of this address",
                remedy=f"use one of {headers['allow']}",
                field="method",
                value=request.method,
                code="method_not_allowed",
            )
        case InternalServerException() if "disconnected" in error.detail:
            # Litestar takes a client that went away for a failure of its own.
            refusal = ContentRefused("the body ended early", remedy="send all of it again", field="body")
        case _ if error.status_code == 413:  # noqa: PLR2004 - its class is not exported
            limit = request.app.state.settings.max_body_bytes
            refusal = TooLarge(
                f"the body has more than {limit} bytes",
                remedy="send less; the bytes of models go to /v1/blobs, which takes more",
                field="body",
                value=request.headers.get("content-length"),
            )
        case _ if error.status_code >= 500:  # noqa: PLR2004 - see above
            return on_crash(request, error)
        case _:
            refusal = InvalidRequest(error.detail, remedy=remedy)
    response = answer(refusal, get_request_id(request))
    response.headers.update(headers)
    return response


def _of_parameter(request: Request[Any, Any, Any], error: ValidationException, remedy: str) -> RegistryError:
    first: Any = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    field = str(first.get("key", "body"))
    if field == "data":
        return InvalidRequest("the body is empty", remedy=remedy, field="body", value="", code="invalid_json")
    detail = f"{field}: {first.get('message', error.detail)}"
    return InvalidRequest(detail, remedy=remedy, field=field, value=request.query_params.get(field))


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """We failed: the log tells all, the answer only where to look."""
    request_id = get_request_id(request)
    _log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": request_id})
    failure = RegistryError(
        "the server failed; nothing was changed unless the answer was lost after a commit",
        remedy=f"repeat it with the same Idempotency-Key; if it persists, look for {request_id} in the server's log",
        code="internal",
    )
    return answer(failure, request_id)


def _shown(value: Any, length: int) -> str:
    # Neither a large value nor a lone surrogate may keep an error from being told.
    text = value if isinstance(value, str) else reprlib.repr(value)
    shortened = text if len(text) <= length else f"{text[:length]}…"
    return shortened.encode("utf-8", "backslashreplace").decode()
