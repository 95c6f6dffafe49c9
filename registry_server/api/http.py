"""Functions that all handlers share: check a request, respond with an entity and its ETag, run a write."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast
from urllib.parse import unquote, unquote_to_bytes

import litestar
import msgspec
from litestar import Request, Response
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT, HTTP_304_NOT_MODIFIED
from litestar.types import Receive, Scope, Send

from common_lib.rules.names import check_idempotency_key
from registry_server.api.authentication import authenticate
from registry_server.api.query_values import check_value
from registry_server.api.rate_limits import WriteQuota
from registry_server.api.request_body import prepare_json, read_body
from registry_server.api.telemetry import find_header, get_request_id
from registry_server.core.environment import Environment
from registry_server.core.ports import Database
from registry_server.core.writes import Need, Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.answers import Answer
from registry_server.queries import Records

P = ParamSpec("P")
T = TypeVar("T")
HttpRequest = Request[Any, Any, Any]
_encode = msgspec.json.Encoder().encode
_BODILESS: Final = frozenset({HTTP_204_NO_CONTENT, HTTP_304_NOT_MODIFIED})
# If one of these occurs twice, Litestar silently takes one of the values.
_SINGLE: Final = frozenset({b"authorization", b"content-type", b"idempotency-key", b"if-match", b"if-none-match"})


async def check_request(request: HttpRequest) -> None:
    """Check a request before its handler runs: authentication, path, rights, query and body, in this order.

    Litestar would read `//` as `/` and `007` as `7`, ignore a misspelt filter, and choose one of two values. If the
    rights that the route needs follow from the address, they are checked before the body is read.

    Raises:
        Unauthenticated: the token is missing or not valid.
        AddressNotFound: the path is not the exact address of a resource, but another spelling of it.
        ModelNotFound: the caller may not read the model of the address.
        RightMissing: the caller lacks a right.
        HeaderRepeated, ParameterUnknown, ParameterRepeated, ParameterInvalid: the header or the parameter is wrong.
        InvalidJson, FieldInvalid: the body is not valid.
        BodyTooLarge: the body has too many bytes.
        WriteRateExceeded: the caller has used up its write quota for now.
    """
    scope: Any = request.scope
    twice = header_twice(scope)
    if twice == "authorization":
        raise errors.SeveralTokens
    who = await authenticate(request)
    if twice is not None:
        raise errors.HeaderRepeated(twice)
    values = {name: str(value).removeprefix("/") for name, value in scope["path_params"].items()}
    given, straight = unquote(scope["raw_path"]), scope["path_template"].format(**values)
    if given != straight:
        raise errors.AddressNotFound(given, straight)
    if needs := request.route_handler.opt.get("needs"):
        named = scope["path_params"].get("name") if scope["path_template"].startswith("/v1/models/") else None
        who.check_any_right(needs, named)
    if scope["query_string"]:
        check_query(request)
    if scope["method"] != "GET":
        quota: WriteQuota = request.app.state.write_quota
        media_type, length = find_header(scope, b"content-type") or "", find_header(scope, b"content-length") or ""
        quota.charge_announced(who, media_type, length)
    await prepare_json(request)


def header_twice(scope: Any) -> str | None:
    """Return the name of a header that may have only one value but occurs twice, or None."""
    once = [name for name, _ in scope["headers"] if name in _SINGLE]
    return next((name.decode() for name in once if once.count(name) > 1), None)


get = partial(litestar.get, before_request=check_request)
post = partial(litestar.post, before_request=check_request)
patch = partial(litestar.patch, before_request=check_request)
put = partial(litestar.put, before_request=check_request)
delete = partial(litestar.delete, before_request=check_request)


def environment(request: HttpRequest) -> Environment:
    """Return the environment of this application: its database, blob store and clock."""
    return cast("Environment", request.app.state.env)


def database(request: HttpRequest) -> Database:
    """Return the database of this application."""
    return environment(request).database


class RawResponse(Response[T]):
    """A response whose body is bytes already; Litestar's response building would be the slowest part of a request."""

    def __init__(self, status: int, body: bytes, *, etag: str | None = None, location: str | None = None) -> None:
        self._status = status
        self._body = body
        self._headers = [] if etag is None else [(b"etag", etag.encode())]
        if location is not None:
            self._headers.append((b"location", location.encode()))
        if status not in _BODILESS:
            self._headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    @property
    def body(self) -> bytes:
        """The bytes of the response body."""
        return self._body

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the response itself, because it is the ASGI application that sends the body."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002, D102 - ASGI
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def entity_response(request: HttpRequest, entity: T) -> Response[T]:
    """Return a response with an entity and its ETag, or 304 if If-None-Match contains that ETag."""
    return asgi_entity_response(request.scope, entity)


def asgi_entity_response(scope: Any, entity: T) -> RawResponse[T]:
    """Return the same response as `entity_response`, but for an ASGI scope without a Litestar request."""
    etag: str | None = getattr(entity, "etag", None)
    if etag is not None and is_not_modified(find_header(scope, b"if-none-match"), etag):
        return RawResponse(HTTP_304_NOT_MODIFIED, b"", etag=etag)
    return RawResponse(HTTP_200_OK, _encode(entity), etag=etag)


def json_response(entity: T) -> Response[T]:
    """Return a response with a value that has no ETag, because it is not an entity of the registry."""
    return RawResponse(HTTP_200_OK, _encode(entity))


async def build_write_request(
    request: HttpRequest, *, body_sha256: bytes = b"", needs: tuple[Need, ...] = (), key_required: bool = True
) -> WriteRequest:
    """Build the write request from an HTTP request.

    `needs` are the rights that the body requires in addition to the rights of the route.

    If no key is required, a valid key has no effect: the request is idempotent, and the server carries it out each
    time.

    Raises:
        IdempotencyKeyMissing: the request has no Idempotency-Key.
        RuleViolation: the Idempotency-Key is malformed.
    """
    who = await authenticate(request)
    headers = request.headers
    env = environment(request)
    key = headers.get("idempotency-key")
    if key is not None:
        check_idempotency_key(key)
    if not key_required:
        key = env.new_id()
    elif key is None:
        raise errors.IdempotencyKeyMissing
    scope = request.scope
    same = (scope["method"], scope["path"], scope["query_string"], body_sha256)
    return WriteRequest(
        caller=who,
        at=env.now(),
        request_id=get_request_id(request),
        key=key,
        fingerprint=hashlib.sha256(repr(same).encode()).hexdigest(),
        if_match=headers.get("if-match"),
        if_none_match=headers.get("if-none-match"),
        needs=needs,
    )


async def write(
    request: HttpRequest,
    use_case: Callable[Concatenate[Records, WriteRequest, P], Awaitable[Outcome[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> RawResponse[T]:
    """Run a use case as one write; it is called with `(records, request, *args)`."""
    return await write_with_rights(request, (), use_case, *args, **kwargs)


async def write_with_rights(
    request: HttpRequest,
    needs: tuple[Need, ...],
    use_case: Callable[Concatenate[Records, WriteRequest, P], Awaitable[Outcome[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> RawResponse[T]:
    """Run a use case that needs rights which depend on the body.

    The rights are checked even before a stored answer is replayed.
    """
    body = await read_body(request)
    quota: WriteQuota = request.app.state.write_quota
    quota.charge_unannounced(await authenticate(request), request.headers.get("content-length", ""), body.content)
    change = await build_write_request(request, body_sha256=body.sha256, needs=needs)
    answer = await execute(environment(request), change, lambda records, by: use_case(records, by, *args, **kwargs))
    return write_response(answer)


def write_response(answer: Answer) -> RawResponse[Any]:
    """Convert the answer of a write to an HTTP response."""
    return RawResponse(answer.status, answer.body, etag=answer.etag, location=answer.location)


def check_query(request: HttpRequest) -> None:
    """Check that each query parameter is declared by the route, occurs once, and has a value of its type.

    The refusal of an unknown parameter does not repeat its value.

    Raises:
        ParameterUnknown, ParameterRepeated, ParameterInvalid: a parameter is wrong.
    """
    declared = request.route_handler.parsed_fn_signature.parameters
    known = {name: field for name, field in declared.items() if name not in {"request", "data", *request.path_params}}
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError as error:
        raise errors.QueryNotUtf8(error.object[error.start : error.end].decode("latin-1")) from None
    for name, values in request.query_params.dict().items():
        if name not in known:
            raise errors.ParameterUnknown(name, known)
        if len(values) > 1 and not known[name].is_non_string_sequence:
            raise errors.ParameterRepeated(name, values)
        for value in values:
            check_value(name, known[name].annotation, value)


def is_not_modified(if_none_match: str | None, etag: str) -> bool:
    """Return whether If-None-Match contains the ETag, its weak form, or `*` (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match in {etag, "*"} or etag in {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
