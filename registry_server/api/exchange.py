"""What handlers are made of: a read becomes an answer with an ETag, a write goes through its ceremony."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import msgspec
from litestar import Request, Response
from litestar.types import ASGIApp, Receive, Scope, Send

from common_lib.rules.names import check_idempotency_key
from registry_server.api.security import caller
from registry_server.api.telemetry import header, request_id
from registry_server.core.acts import Act, Outcome, Ports, perform
from registry_server.core.ports import Database, Records
from registry_server.domain.answers import Answer
from registry_server.domain.errors import InvalidRequest

P = ParamSpec("P")
T = TypeVar("T")
HttpRequest = Request[Any, Any, Any]
_encode = msgspec.json.Encoder().encode
_JSON = "application/json"


def ports(request: HttpRequest) -> Ports:
    """The outside world of this application."""
    return cast("Ports", request.app.state.ports)


def database(request: HttpRequest) -> Database:
    """The database of this application."""
    return ports(request).database


def shown(request: HttpRequest, entity: T) -> Response[T]:
    """An entity with its ETag, or 304 if the caller has it."""
    etag = getattr(entity, "etag", None)
    if etag is None:
        return Response(cast("T", _encode(entity)), media_type=_JSON)
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(cast("T", b""), status_code=304, headers={"etag": etag}, media_type=_JSON)
    return Response(cast("T", _encode(entity)), headers={"etag": etag}, media_type=_JSON)


def shown_fast(request: HttpRequest, entity: Any) -> ASGIApp:
    """The same for the hot path, without Litestar's response building, which takes longer than all the rest here."""
    etag = entity.etag
    headers = [(b"etag", etag.encode())]
    if _matches(header(request.scope, b"if-none-match"), etag):
        status, body = 304, b""
    else:
        status, body = 200, _encode(entity)
        headers += [(b"content-type", _JSON.encode()), (b"content-length", b"%d" % len(body))]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


async def act(request: HttpRequest, *, body: bytes, key_required: bool = True) -> Act:
    """The act behind an unsafe request.

    Raises:
        InvalidRequest: there is no Idempotency-Key, or it is malformed.
    """
    who = await caller(request)
    headers = request.headers
    key = headers.get("idempotency-key")
    if key is None and key_required:
        raise InvalidRequest(
            "a change needs an Idempotency-Key",
            remedy="send a fresh random UUID with each new change, and the same one when repeating it",
            field="Idempotency-Key",
            code="idempotency_key_required",
        )
    outside = ports(request)
    key = outside.new_id() if key is None else check_idempotency_key(key)
    same = (request.method, str(request.url.path), request.url.query, body)
    return Act(
        caller=who,
        at=outside.now(),
        request_id=request_id(request),
        key=key,
        fingerprint=hashlib.sha256(repr(same).encode()).hexdigest(),
        if_match=headers.get("if-match"),
        if_none_match=headers.get("if-none-match"),
    )


async def write(
    request: HttpRequest,
    use_case: Callable[Concatenate[Records, Act, P], Awaitable[Outcome[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Response[T]:
    """Run a use case, called with `(records, act, *args)`, as one act."""
    this = await act(request, body=await request.body())
    answer = await perform(ports(request), this, lambda records, by: use_case(records, by, *args, **kwargs))
    return wrote(answer)


def wrote(answer: Answer) -> Response[Any]:
    """The answer of a write on the wire."""
    headers = {"etag": answer.etag, "location": answer.location}
    return Response(
        answer.body,
        status_code=answer.status,
        media_type=_JSON,
        headers={name: value for name, value in headers.items() if value is not None},
    )


def _matches(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    return if_none_match == etag or etag in {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
