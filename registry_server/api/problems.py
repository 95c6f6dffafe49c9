"""Builds the response to every error: a problem in the form of RFC 9457, `application/problem+json`."""

import logging
import math
import reprlib
from typing import Annotated, Any

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
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation
from registry_server.api import head_and_options
from registry_server.api.telemetry import get_request_id
from registry_server.domain import errors

_log = logging.getLogger("registry_server.problems")
_TEXT_LENGTH = 1_000
_VALUE_LENGTH = 200


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error response (RFC 9457), with a stable `code` for programs and a `remedy` for people."""

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


def answer(error: errors.RegistryError | RuleViolation, request_id: str) -> Response[bytes]:
    """Build the response to an error of the server, or to a value that breaks a shared rule."""
    code = error.code
    winner, headers = (error.winner, _headers(error)) if isinstance(error, errors.RegistryError) else (None, {})
    problem = Problem(
        type=f"urn:model-registry:problem:{code}",
        title=code.summary,
        status=code.status,
        code=code,
        detail=_shorten(error.detail, _TEXT_LENGTH),
        remedy=_shorten(error.remedy, _TEXT_LENGTH),
        request_id=request_id,
        field=None if error.field is None else _shorten(error.field, _VALUE_LENGTH),
        value=None if error.value is None else _shorten(error.value, _VALUE_LENGTH),
        winner=winner,
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=code.status,
        media_type="application/problem+json",
        headers=headers,
    )


def _headers(error: errors.RegistryError) -> dict[str, str]:
    after = {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    return {**error.headers, **after}


def raw_headers(answer: Response[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem as ASGI expects them, to send the problem without Litestar."""
    own = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    length = b"%d" % len(answer.content)
    return [(b"content-type", b"application/problem+json"), (b"content-length", length), *own]


def on_refusal(request: Request[Any, Any, Any], error: errors.RegistryError | RuleViolation) -> Response[bytes]:
    """Respond to an error of the registry or a broken rule; log the error if the server is at fault."""
    scope: Any = request.scope
    scope["registry_code"] = error.code
    if error.code.status >= 500:  # noqa: PLR2004 - from here on the server is at fault
        _log.error("%s", error.detail, exc_info=error, extra={"request_id": get_request_id(request)})
    return answer(error, get_request_id(request))


def on_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Respond to an error of Litestar: unknown address or method, body too large or cut off, wrong parameter."""
    refusal: errors.RegistryError
    match error:
        case ValidationException():
            refusal = _of_parameter(request, error)
        case NotFoundException():
            refusal = errors.AddressNotFound(request.scope["path"])
        case MethodNotAllowedException():
            allowed = head_and_options.format_allow((error.headers or {})["allow"].split(", "))
            refusal = errors.MethodNotAllowed(request.method, allowed)
        case InternalServerException() if "disconnected" in error.detail:
            # Litestar reports a client that disconnected as a failure of the server.
            refusal = errors.BodyCutOff()
        case _ if error.status_code == 413:  # noqa: PLR2004 - its class is not exported
            announced = request.headers.get("content-length")
            refusal = errors.BodyTooLarge(announced, request.app.state.settings.max_body_bytes)
        case _ if error.status_code >= 500:  # noqa: PLR2004 - see above
            return on_crash(request, error)
        case _:
            refusal = errors.ParameterRefused(None, None, error.detail)
    return answer(refusal, get_request_id(request))


def _of_parameter(request: Request[Any, Any, Any], error: ValidationException) -> errors.RegistryError:
    first: Any = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    field = str(first.get("key", "body"))
    if field == "data":
        return errors.InvalidJson("", "is empty")
    return errors.ParameterRefused(field, request.query_params.get(field), first.get("message", error.detail))


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Respond to an unexpected error; its traceback is written to the log only."""
    request_id = get_request_id(request)
    _log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": request_id})
    return answer(errors.InternalError(request_id), request_id)


def _shorten(value: Any, length: int) -> str:
    # Neither a large value nor a lone surrogate may prevent the response.
    text = value if isinstance(value, str) else reprlib.repr(value)
    shortened = text if len(text) <= length else f"{text[:length]}…"
    return shortened.encode("utf-8", "backslashreplace").decode()
