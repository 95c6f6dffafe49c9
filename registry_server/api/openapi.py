"""The OpenAPI document: addresses as Litestar knows them; what goes in and out as msgspec reads and writes it."""

import hashlib
import inspect
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import BaseRoute
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from msgspec import Meta

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.transfers import BLOBS_MEDIA_TYPE
from registry_server.api.http import HttpRequest, RawResponse, is_not_modified
from registry_server.api.problems import Problem
from registry_server.api.telemetry import find_header
from registry_server.core import models, versions
from registry_server.domain.base import (
    AliasName,
    Count,
    ModelName,
    PrincipalName,
    Reason,
    Sha256,
    Time,
    VersionNumber,
)
from registry_server.domain.events import CloudEvent
from registry_server.domain.pages import MAX_LIMIT, Order
from registry_server.domain.versions import ModelVersion


class _NoPages(Router):
    """Takes the pages of its own that Litestar would add, and serves none: they cost anybody's token nothing."""

    def register(self, value: Any) -> list[BaseRoute]:  # noqa: ARG002
        """Return no route."""
        return []


CONFIG = OpenAPIConfig(
    title="Model Registry",
    version="1.0.0",
    description="Which version of which model is in use, why, and since when.",
    openapi_router=_NoPages("/-", route_handlers=[]),
    render_plugins=[JsonRenderPlugin()],
    use_handler_docstrings=True,
    operation_id_creator=lambda handler, *_: handler.handler_name,
)
_UNSAFE: Final = {"post", "patch", "put", "delete"}
# Repeated as often as one likes, without a key, they do the same as once.
_HARMLESS: Final = {
    "begin_upload",
    "check_presence",
    "collect_garbage",
    "delete_upload",
    "put_blobs",
    "put_part",
    "verify_blob",
}
_CHANGES: Final = ("update_", "tombstone_", "transition_", "recall_", "reinstate_", "roll_back_", "set_", "delete_")
# What handlers answer that build their bytes themselves.
_BYTES: Final[dict[str, tuple[str, Any]]] = {
    "resolve_version": ("application/json", ModelVersion),
    "list_events": ("application/cloudevents-batch+json", list[CloudEvent]),
    "get_file": ("application/octet-stream", bytes),
    "metrics": ("text/plain", str),
}
_TWO_WAYS: Final = {
    "put_blob": {200: "The bytes were there already", 201: "Stored"},
    "set_alias": {200: "Moved, or it pointed there already", 201: "Created"},
}
# What parameters may hold, where their handler's signature says less.
_PARAMETERS: Final[dict[str, Any]] = {
    "after": Annotated[Count, Meta(description="The sequence number behind which the events begin.")],
    "alias": AliasName,
    "as_of": Annotated[Time, Meta(description="The moment that is meant; by default, now.")],
    "created_before": Time,
    "created_from": Time,
    "limit": Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="At most so many entries.")],
    "page_token": Annotated[str, Meta(description="The `next_page_token` of the page before.")],
    "path": Annotated[
        str, Meta(max_length=names.PATH_LENGTH, description="The path in the manifest, its slashes as they are.")
    ],
    "reason": Annotated[Reason, Meta(description="Why; a forced change needs it.")],
    "selector": Annotated[str, Meta(description="A version number, `@alias`, a stage, or `latest`.")],
    "sha256": Sha256,
    "start": Annotated[Count, Meta(description="How many bytes come before the part.")],
    "tag": Annotated[list[str], Meta(description="`key=value`; of several, all must be there.")],
    "other": VersionNumber,
    "version": VersionNumber,
}
_ORDERS: Final = {"search_models": models.ORDERS, "list_versions": versions.ORDERS}
_OCTETS: Final = "application/octet-stream"
_BINARY: Final = {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}
_HEADERS: Final = {
    "ETag": "The revision of what is answered, to be sent back as If-Match or If-None-Match.",
    "Location": "The address of what was created.",
    "X-Request-Id": "Finds the request in the server's log and in its event; the caller's own, if it sent one.",
}


class _Operation(NamedTuple):
    """What a handler takes and gives, as types."""

    path: str
    method: str
    handler: HTTPRouteHandler
    taken: Any
    given: Any
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        return self.handler.handler_name

    @property
    def types(self) -> list[Any]:
        return [kind for kind in (self.taken, self.given, *self.parameters.values()) if kind not in {None, Order}]


@get("/openapi.json", include_in_schema=False)
async def document(request: HttpRequest) -> Response[Any]:
    """The OpenAPI 3.1 document of this server."""
    state = request.app.state
    if "openapi" not in state:
        # Once for each application: building it takes longer than a hundred other answers, and needs no token.
        content = msgspec.json.encode(build(request.app), order="sorted")
        state.openapi = content, f'"{hashlib.sha256(content).hexdigest()}"'
    content, etag = state.openapi
    if is_not_modified(find_header(request.scope, b"if-none-match"), etag):
        return RawResponse(HTTP_304_NOT_MODIFIED, b"", etag=etag)
    return RawResponse(HTTP_200_OK, content, etag=etag)


def build(app: Litestar) -> dict[str, Any]:
    """The document as JSON values."""
    whole: dict[str, Any] = app.openapi_schema.to_schema()
    operations = _operations(app, whole["paths"])
    types = [kind for operation in operations for kind in operation.types] + [Problem]
    schemas, definitions = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    whole["components"] = {
        "schemas": definitions,
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mrg_…"}},
    }
    problem = {
        "description": "A problem: " + ", ".join(f"`{code}` ({code.status})" for code in Code),
        "headers": _shown(["X-Request-Id"]),
        "content": {"application/problem+json": {"schema": schema_of[repr(Problem)]}},
    }
    for operation in operations:
        written = whole["paths"][operation.path][operation.method]
        written["summary"] = written["description"].partition("\n")[0]
        written["tags"] = [operation.handler.fn.__module__.rpartition(".")[2]]
        written["parameters"] = [*_placed(operation, schema_of), *_headers(operation)]
        written["responses"] = _answers(operation, schema_of) | {"default": problem}
        if operation.taken is not None:
            content = {"application/json": {"schema": schema_of[repr(operation.taken)]}}
            written["requestBody"] = {"required": True, "content": content}
        elif operation.name == "put_blobs":
            written["requestBody"] = {"required": True, "content": {BLOBS_MEDIA_TYPE: _BINARY[_OCTETS]}}
        elif operation.name in {"put_blob", "put_part"}:
            written["requestBody"] = {"required": True, "content": _BINARY}
        if not operation.path.startswith("/health"):
            written["security"] = [{"token": []}]
    return whole


def _operations(app: Litestar, paths: dict[str, Any]) -> list[_Operation]:
    return [
        _operation(route.path_format, method.lower(), handler)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        for method in sorted(handler.http_methods)
        if method.lower() in paths.get(route.path_format, {})
    ]


def _operation(path: str, method: str, handler: HTTPRouteHandler) -> _Operation:
    declared: dict[str, Any] = handler.fn.__annotations__
    given: Any = declared["return"]
    if handler.handler_name in _BYTES:
        given = _BYTES[handler.handler_name][1]
    elif get_origin(given) is Response:
        (given,) = get_args(given)
    taken = get_args(declared["data"])[0] if "data" in declared else None
    own = {"name": PrincipalName if path.startswith("/v1/principals") else ModelName} | _PARAMETERS
    parameters = {
        name: own.get(name, _without_none(field.annotation))
        for name, field in handler.parsed_fn_signature.parameters.items()
        if name not in {"request", "data"}
    }
    return _Operation(path, method, handler, taken, None if given in {bytes, NoneType} else given, parameters)


def _without_none(declared: Any) -> Any:
    # A parameter of an address is there or is not there, but never null.
    if get_origin(declared) is UnionType:
        (declared,) = (one for one in get_args(declared) if one is not NoneType)
    return declared


def _placed(operation: _Operation, schema_of: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters in the path and in the query."""
    found = []
    for name, kind in operation.parameters.items():
        field = operation.handler.parsed_fn_signature.parameters[name]
        # Each list has some of all orders.
        orders = {"type": "string", "enum": list(_ORDERS[operation.name])} if kind is Order else {}
        schema = orders or schema_of[repr(kind)]
        if field.has_default and field.default is not None:
            schema = schema | {"default": field.default}
        in_path = f"{{{name}}}" in operation.path
        found.append({"name": name, "in": "path" if in_path else "query", "required": in_path, "schema": schema})
    return found


def _headers(operation: _Operation) -> list[dict[str, Any]]:
    def header(name: str, text: str, *, required: bool = False, **limits: str) -> dict[str, Any]:
        schema = {"type": "string"} | limits
        return {"name": name, "in": "header", "required": required, "description": text, "schema": schema}

    found = []
    if operation.method in _UNSAFE and operation.name not in _HARMLESS:
        key = "A fresh random UUID for each change, the same one when repeating it."
        required = operation.name != "put_blob"
        found.append(header("Idempotency-Key", key, required=required, pattern=names.IDEMPOTENCY_KEY))
    if operation.name == "put_part":
        text = "The SHA-256 of all bytes up to the end of the part."
        found.append(header("X-Prefix-SHA256", text, required=True, pattern=names.SHA256))
    if operation.name == "get_file":
        found.append(header("Range", "One range of bytes, such as `bytes=1024-`."))
        found.append(header("If-Range", "The ETag of the file that the range is of."))
        found.append(header("If-None-Match", "The ETag of what the caller has."))
    if operation.name.startswith(_CHANGES) and operation.name not in _HARMLESS:
        found.append(header("If-Match", "The ETag of what the change is based on, or `*` to force it."))
    if operation.name == "set_alias":
        found.append(header("If-None-Match", "`*` to create an alias that is not there yet."))
    if _may_be_known(operation):
        found.append(header("If-None-Match", "The ETag of what the caller has."))
    return found


def _answers(operation: _Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    media_type = _BYTES.get(operation.name, ("application/json", None))[0]
    content: dict[str, Any] = {}
    if operation.given is not None:
        content = {"content": {media_type: {"schema": schema_of[repr(operation.given)]}}}
    elif operation.name in _BYTES:
        content = {"content": _BINARY}
    always = ["ETag", "X-Request-Id"] if _has_etag(operation) else ["X-Request-Id"]
    headers = [*always, "Location"] if operation.name.startswith("create_") else always
    statuses = _TWO_WAYS.get(operation.name, {operation.handler.status_code: "Done"})
    answers: dict[str, Any] = {
        str(status): {"description": text, "headers": _shown(headers)} | content for status, text in statuses.items()
    }
    if operation.name == "get_file":
        answers["206"] = {"description": "The range that was asked for", "headers": _shown(always)} | content
    if _may_be_known(operation) or operation.name == "get_file":
        answers["304"] = {"description": "The caller has it: If-None-Match named its ETag", "headers": _shown(always)}
    return answers


def _has_etag(operation: _Operation) -> bool:
    return hasattr(operation.given, "etag") or operation.name == "get_file"


def _may_be_known(operation: _Operation) -> bool:
    return operation.method == "get" and hasattr(operation.given, "etag")


def _shown(headers: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
