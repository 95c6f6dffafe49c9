"""From an error to RFC 9457 `application/problem+json`: one table, and nothing else ever leaves the server."""

import logging
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from common_lib.rules.violation import RuleViolation
from registry_server.api.telemetry import request_id
from registry_server.domain.errors import RegistryError, RuleBroken

_log = logging.getLogger("registry_server.problems")
_VALUE_LENGTH = 200


class Kind(NamedTuple):
    """What a code means over HTTP."""

    status: int
    title: str


PROBLEMS: Final = {
    "invalid_request": Kind(422, "The request is not valid"),
    "invalid_json": Kind(400, "The body is not JSON as RFC 8259 means it"),
    "invalid_name": Kind(422, "A name breaks its rule"),
    "reserved_name": Kind(422, "A name already has a meaning"),
    "invalid_path": Kind(422, "An artifact path breaks its rule"),
    "invalid_digest": Kind(422, "A digest is malformed"),
    "invalid_manifest": Kind(422, "A manifest breaks its rule"),
    "invalid_reference": Kind(422, "A reference names no version"),
    "invalid_tag": Kind(422, "A tag breaks its rule"),
    "invalid_text": Kind(422, "A text holds forbidden characters"),
    "text_too_long": Kind(422, "A text is too long"),
    "too_many_entries": Kind(422, "There are too many entries"),
    "invalid_page_token": Kind(422, "The page token does not fit"),
    "invalid_if_match": Kind(400, "If-Match is malformed"),
    "invalid_idempotency_key": Kind(400, "The Idempotency-Key is malformed"),
    "idempotency_key_required": Kind(400, "A change needs an Idempotency-Key"),
    "reason_required": Kind(422, "A reason is required"),
    "unauthenticated": Kind(401, "No valid token"),
    "forbidden": Kind(403, "The right is missing"),
    "not_found": Kind(404, "There is no such thing"),
    "model_not_found": Kind(404, "There is no such model"),
    "version_not_found": Kind(404, "There is no such version"),
    "alias_not_found": Kind(404, "There is no such alias"),
    "blob_not_found": Kind(404, "There is no such blob"),
    "file_not_found": Kind(404, "There is no such file"),
    "principal_not_found": Kind(404, "There is no such principal"),
    "token_not_found": Kind(404, "There is no such token"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "conflict": Kind(409, "The state does not allow it"),
    "model_exists": Kind(409, "The model exists"),
    "alias_exists": Kind(409, "The alias exists"),
    "principal_exists": Kind(409, "The principal exists"),
    "illegal_transition": Kind(409, "The move is not legal"),
    "tombstoned": Kind(409, "It was taken out of use"),
    "version_in_production": Kind(409, "The version is in production"),
    "version_aliased": Kind(409, "Aliases point at the version"),
    "blob_missing": Kind(409, "The bytes of the version are missing"),
    "request_in_flight": Kind(409, "The first request is still at work"),
    "revision_mismatch": Kind(412, "Somebody changed it in between"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The media type is not taken here"),
    "content_refused": Kind(422, "The bytes are not what was announced"),
    "digest_mismatch": Kind(422, "The bytes have another digest"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key belongs to another request"),
    "revision_required": Kind(428, "A change needs the revision it is based on"),
    "internal": Kind(500, "The server failed"),
    "storage_unavailable": Kind(503, "The storage does not answer"),
    "storage_full": Kind(507, "The storage is full"),
}
_OF_STATUS: Final = {400: "invalid_json", 401: "unauthenticated", 404: "not_found", 405: "method_not_allowed"} | {
    413: "too_large",
    415: "unsupported_media_type",
}
_HEADERS: Final = {
    "unauthenticated": {"www-authenticate": 'Bearer realm="model-registry"'},
    "request_in_flight": {"retry-after": "1"},
    "storage_unavailable": {"retry-after": "1"},
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success (RFC 9457), with a stable `code` and what to do."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    request_id: str
    field: str | None = None
    value: str | None = None


def answer(error: RegistryError, this: str) -> Response[bytes]:
    """The problem an error becomes."""
    code = error.reason_code
    kind = PROBLEMS[code]
    problem = Problem(
        type=f"urn:model-registry:problem:{code}",
        title=kind.title,
        status=kind.status,
        code=code,
        detail=error.detail,
        remedy=error.remedy,
        request_id=this,
        field=error.field,
        value=_shown(error.value),
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=kind.status,
        media_type="application/problem+json",
        headers=_HEADERS.get(code, {}),
    )


def on_refusal(request: Request[Any, Any, Any], error: RegistryError) -> Response[bytes]:
    """The registry said no."""
    if PROBLEMS[error.reason_code].status >= 500:  # noqa: PLR2004 - the border between their fault and ours
        _log.error("%s", error.detail, exc_info=error, extra={"request_id": request_id(request)})
    return answer(error, request_id(request))


def on_violation(request: Request[Any, Any, Any], error: RuleViolation) -> Response[bytes]:
    """A rule said no to a value in the address."""
    return on_refusal(request, RuleBroken(error))


def on_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar said no: no such route, wrong method, body too large, or a parameter of the wrong type."""
    status = 422 if isinstance(error, ValidationException) else error.status_code
    if status >= 500:  # noqa: PLR2004 - see above
        return on_crash(request, error)
    field, value, detail = None, None, error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        field = str(first.get("key", "body"))
        value = request.query_params.get(field)
        detail = f"{field}: {first.get('message', error.detail)}"
    refusal = RegistryError(
        detail,
        remedy=f"see {request.app.state.openapi_path} for what this address takes",
        field=field,
        value=value,
        code=_OF_STATUS.get(status, "invalid_request"),
    )
    return answer(refusal, request_id(request))


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """We failed: the log tells all, the answer only where to look."""
    this = request_id(request)
    _log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": this})
    failure = RegistryError(
        "the server failed; nothing was changed unless the answer was lost after a commit",
        remedy=f"repeat it with the same Idempotency-Key; if it persists, look for {this} in the server's log",
        code="internal",
    )
    return answer(failure, this)


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}…"
