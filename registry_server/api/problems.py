"""From an error to RFC 9457 `application/problem+json`: one table, and nothing else ever leaves the server."""

import logging
import math
import reprlib
from typing import Annotated, Any, Final

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
from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation
from registry_server.api import methods
from registry_server.api.telemetry import get_request_id
from registry_server.domain.errors import ContentRefused, InvalidRequest, NotFound, RegistryError, RuleBroken, TooLarge

_log = logging.getLogger("registry_server.problems")
_DETAIL_LENGTH = 1_000
_VALUE_LENGTH = 200


_RETRY_AFTER_S = 1
# By status, so that a new code with one of these statuses has the header too.
_BY_STATUS: Final = {
    401: {"www-authenticate": 'Bearer realm="model-registry"'},
    429: {"retry-after": f"{_RETRY_AFTER_S}"},
    503: {"retry-after": f"{_RETRY_AFTER_S}"},
}
_BY_CODE: Final = {
    Code.REQUEST_IN_FLIGHT: {"retry-after": f"{_RETRY_AFTER_S}"},
    Code.BLOB_STORE_MISSING: {"retry-after": "60"},  # somebody has to mount a disk
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
    problem = Problem(
        type=f"urn:model-registry:problem:{code}",
        title=code.summary,
        status=code.status,
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
        status_code=code.status,
        media_type="application/problem+json",
        headers=_BY_STATUS.get(code.status, {}) | _BY_CODE.get(code, {}) | getattr(error, "headers", {}) | _wait(error),
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
    if error.reason_code.status >= 500:  # noqa: PLR2004 - the border between their fault and ours
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
                code=Code.METHOD_NOT_ALLOWED,
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
        return InvalidRequest("the body is empty", remedy=remedy, field="body", value="", code=Code.INVALID_JSON)
    detail = f"{field}: {first.get('message', error.detail)}"
    return InvalidRequest(detail, remedy=remedy, field=field, value=request.query_params.get(field))


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """We failed: the log tells all, the answer only where to look."""
    request_id = get_request_id(request)
    _log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": request_id})
    failure = RegistryError(
        "the server failed; nothing was changed unless the answer was lost after a commit",
        remedy=f"repeat it with the same Idempotency-Key; if it persists, look for {request_id} in the server's log",
        code=Code.INTERNAL,
    )
    return answer(failure, request_id)


def _shown(value: Any, length: int) -> str:
    # Neither a large value nor a lone surrogate may keep an error from being told.
    text = value if isinstance(value, str) else reprlib.repr(value)
    shortened = text if len(text) <= length else f"{text[:length]}…"
    return shortened.encode("utf-8", "backslashreplace").decode()
