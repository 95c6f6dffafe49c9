"""Builds the OpenAPI document: addresses come from Litestar's routes, schemas from the Structs of msgspec."""

import hashlib
import inspect
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import BaseRoute
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from msgspec import Meta

from common_lib.rules import names
from common_lib.rules.artifacts import BLOBS_MEDIA_TYPE
from common_lib.rules.codes import Code
from common_lib.rules.fields import AnswerBody, find_limits
from registry_server.api.http import HttpRequest, RawResponse, is_not_modified
from registry_server.api.problems import Problem
from registry_server.api.telemetry import find_header
from registry_server.core import models, versions
from registry_server.domain.base import AliasName, Count, ModelName, PrincipalName, Reason, Sha256, Time, VersionNumber
from registry_server.domain.events import CloudEvent
from registry_server.domain.pages import MAX_LIMIT, Order
from registry_server.domain.versions import ModelVersion


class _NoPages(Router):
    """A router without routes. It replaces Litestar's documentation pages, which anybody could read without a token."""

    def register(self, value: Any) -> list[BaseRoute]:  # noqa: ARG002
        """Return no route."""
        return []


CONFIG = OpenAPIConfig(
    title="Model Registry",
    version="1.0.0",
    description="A registry that records which version of each model is in use, why, and since when.",
    openapi_router=_NoPages("/-", route_handlers=[]),
    render_plugins=[JsonRenderPlugin()],
    use_handler_docstrings=True,
    operation_id_creator=lambda handler, *_: handler.handler_name,
)
_UNSAFE: Final = {"post", "patch", "put", "delete"}
# Handlers of idempotent requests, which need no Idempotency-Key.
_IDEMPOTENT: Final = {
    "begin_upload",
    "check_presence",
    "collect_garbage",
    "delete_upload",
    "put_blobs",
    "put_part",
    "verify_blob",
}
_CONDITIONAL: Final = ("update_", "tombstone_", "transition_", "recall_", "reinstate_", "roll_back_", "set_", "delete_")
# Media type and type of the responses whose handlers build the bytes themselves.
_BUILT_BY_HANDLER: Final[dict[str, tuple[str, Any]]] = {
    "resolve_version": ("application/json", ModelVersion),
    "list_events": ("application/cloudevents-batch+json", list[CloudEvent]),
    "get_file": ("application/octet-stream", bytes),
    "metrics": ("text/plain", str),
}
_TWO_STATUSES: Final = {
    "put_blob": {200: "The bytes were already stored", 201: "Stored"},
    "set_alias": {200: "The alias existed and now points at the version", 201: "Created"},
}
# Types of parameters where the handler's signature has a wider type.
_PARAMETERS: Final[dict[str, Any]] = {
    "after": Annotated[Count, Meta(description="Return the events after this sequence number.")],
    "alias": AliasName,
    "as_of": Annotated[Time, Meta(description="The time for which the version is requested; by default, now.")],
    "created_before": Time,
    "created_from": Time,
    "limit": Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="The maximum number of returned entries.")],
    "page_token": Annotated[str, Meta(description="The `next_page_token` in the response with the previous page.")],
    "path": Annotated[
        str,
        Meta(
            max_length=names.PATH_LENGTH, description="The path of the file in the manifest; do not encode its slashes."
        ),
    ],
    "reason": Annotated[Reason, Meta(description="The reason for the change; required if the change is forced.")],
    "selector": Annotated[str, Meta(description="A version number, `@alias`, a stage, or `latest`.")],
    "sha256": Sha256,
    "start": Annotated[Count, Meta(description="The number of bytes of the upload before this part.")],
    "tag": Annotated[
        list[str], Meta(description="A tag as `key=value`. If several are given, a model must have all of them.")
    ],
    "other": VersionNumber,
    "version": VersionNumber,
}
_ORDERS: Final = {"search_models": models.ORDERS, "list_versions": versions.ORDERS}
_OCTETS: Final = "application/octet-stream"
_BINARY: Final = {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}
_HEADERS: Final = {
    "ETag": "The revision of the returned entity; send it in If-Match or If-None-Match.",
    "Location": "The address of the created entity.",
    "X-Request-Id": "The id of the request in the server's log and in its event; the client's own id if it sent one.",
}


class _Operation(NamedTuple):
    """A handler with its address and the types of its body, response and parameters."""

    path: str
    method: str
    handler: HTTPRouteHandler
    request_type: Any
    response_type: Any
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        return self.handler.handler_name

    @property
    def types(self) -> list[Any]:
        types = (self.request_type, self.response_type, *self.parameters.values())
        return [kind for kind in types if kind not in {None, Order}]


@get("/openapi.json", include_in_schema=False)
async def get_document(request: HttpRequest) -> Response[Any]:
    """Return the OpenAPI 3.1 document of this server."""
    state = request.app.state
    if "openapi" not in state:
        # Built once for each application: it takes longer than a hundred other responses, and needs no token.
        content = msgspec.json.encode(build(request.app), order="sorted")
        state.openapi = content, f'"{hashlib.sha256(content).hexdigest()}"'
    content, etag = state.openapi
    if is_not_modified(find_header(request.scope, b"if-none-match"), etag):
        return RawResponse(HTTP_304_NOT_MODIFIED, b"", etag=etag)
    return RawResponse(HTTP_200_OK, content, etag=etag)


def build(app: Litestar) -> dict[str, Any]:
    """Build the OpenAPI document of an application as JSON values."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    operations = _operations(app, document["paths"])
    types = [kind for operation in operations for kind in operation.types] + [Problem]
    schemas, definitions = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    add_limits(definitions)
    document["components"] = {
        "schemas": definitions,
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mrg_…"}},
    }
    problem = {
        "description": "A problem: " + ", ".join(f"`{code}` ({code.status})" for code in Code),
        "headers": _refer_to(["X-Request-Id"]),
        "content": {"application/problem+json": {"schema": schema_of[repr(Problem)]}},
    }
    for operation in operations:
        fields = document["paths"][operation.path][operation.method]
        fields["summary"] = fields["description"].partition("\n")[0]
        fields["tags"] = [operation.handler.fn.__module__.rpartition(".")[2]]
        fields["parameters"] = [*_parameters(operation, schema_of), *_header_parameters(operation)]
        fields["responses"] = _responses(operation, schema_of) | {"default": problem}
        if operation.request_type is not None:
            content = {"application/json": {"schema": schema_of[repr(operation.request_type)]}}
            fields["requestBody"] = {"required": True, "content": content}
        elif operation.name == "put_blobs":
            fields["requestBody"] = {"required": True, "content": {BLOBS_MEDIA_TYPE: _BINARY[_OCTETS]}}
        elif operation.name in {"put_blob", "put_part"}:
            fields["requestBody"] = {"required": True, "content": _BINARY}
        if not operation.path.startswith("/health"):
            fields["security"] = [{"token": []}]
    return document


def add_limits(definitions: dict[str, Any]) -> None:
    """Add limits to schemas: msgspec ignores the limits of the types that client and server share."""
    for kind in AnswerBody.__subclasses__():
        hints = get_type_hints(kind, include_extras=True)
        for name, schema in definitions.get(kind.__name__, {}).get("properties", {}).items():
            # The field itself, the items of a list, or the alternative to null.
            places = schema.get("anyOf") or [schema.get("items", schema)]
            for limits in find_limits(hints[name]):
                for place in places:
                    place.update(limits.json_schema if place.get("type") != "null" else {})


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
    response_type: Any = declared["return"]
    if handler.handler_name in _BUILT_BY_HANDLER:
        response_type = _BUILT_BY_HANDLER[handler.handler_name][1]
    elif get_origin(response_type) is Response:
        (response_type,) = get_args(response_type)
    request_type = get_args(declared["data"])[0] if "data" in declared else None
    own = {"name": PrincipalName if path.startswith("/v1/principals") else ModelName} | _PARAMETERS
    parameters = {
        name: own.get(name, _without_none(field.annotation))
        for name, field in handler.parsed_fn_signature.parameters.items()
        if name not in {"request", "data"}
    }
    if response_type in {bytes, NoneType}:
        response_type = None
    return _Operation(path, method, handler, request_type, response_type, parameters)


def _without_none(declared: Any) -> Any:
    # A parameter of an address may be absent, but is never null.
    if get_origin(declared) is UnionType:
        (declared,) = (one for one in get_args(declared) if one is not NoneType)
    return declared


def _parameters(operation: _Operation, schema_of: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters in the path and in the query."""
    found = []
    for name, kind in operation.parameters.items():
        field = operation.handler.parsed_fn_signature.parameters[name]
        # Each list supports some of the orders.
        orders = {"type": "string", "enum": list(_ORDERS[operation.name])} if kind is Order else {}
        schema = orders or schema_of[repr(kind)]
        if field.has_default and field.default is not None:
            schema = schema | {"default": field.default}
        in_path = f"{{{name}}}" in operation.path
        found.append({"name": name, "in": "path" if in_path else "query", "required": in_path, "schema": schema})
    return found


def _header_parameters(operation: _Operation) -> list[dict[str, Any]]:
    def header(name: str, text: str, *, required: bool = False, **limits: str) -> dict[str, Any]:
        schema = {"type": "string"} | limits
        return {"name": name, "in": "header", "required": required, "description": text, "schema": schema}

    found = []
    if operation.method in _UNSAFE and operation.name not in _IDEMPOTENT:
        key = "A new random UUID for each change. Send the same UUID when you repeat the request."
        required = operation.name != "put_blob"
        found.append(header("Idempotency-Key", key, required=required, pattern=names.IDEMPOTENCY_KEY))
    if operation.name == "put_part":
        text = "The SHA-256 of all bytes of the upload up to the end of this part."
        found.append(header("X-Prefix-SHA256", text, required=True, pattern=names.SHA256))
    if operation.name == "get_file":
        found.append(header("Range", "One range of bytes, such as `bytes=1024-`."))
        found.append(header("If-Range", "The ETag of the file to which the range belongs."))
        found.append(header("If-None-Match", "The ETag of the copy that the client holds."))
    if operation.name.startswith(_CONDITIONAL) and operation.name not in _IDEMPOTENT:
        found.append(header("If-Match", "The ETag of the entity before the change, or `*` to force the change."))
    if operation.name == "set_alias":
        found.append(header("If-None-Match", "`*` to create an alias that does not exist yet."))
    if _supports_not_modified(operation):
        found.append(header("If-None-Match", "The ETag of the copy that the client holds."))
    return found


def _responses(operation: _Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    media_type = _BUILT_BY_HANDLER.get(operation.name, ("application/json", None))[0]
    content: dict[str, Any] = {}
    if operation.response_type is not None:
        content = {"content": {media_type: {"schema": schema_of[repr(operation.response_type)]}}}
    elif operation.name in _BUILT_BY_HANDLER:
        content = {"content": _BINARY}
    always = ["ETag", "X-Request-Id"] if _has_etag(operation) else ["X-Request-Id"]
    headers = [*always, "Location"] if operation.name.startswith("create_") else always
    statuses = _TWO_STATUSES.get(operation.name, {operation.handler.status_code: "Done"})
    responses: dict[str, Any] = {
        str(status): {"description": text, "headers": _refer_to(headers)} | content for status, text in statuses.items()
    }
    if operation.name == "get_file":
        responses["206"] = {"description": "The requested range of the bytes", "headers": _refer_to(always)} | content
    if _supports_not_modified(operation) or operation.name == "get_file":
        responses["304"] = {
            "description": "Not modified: If-None-Match contains the current ETag",
            "headers": _refer_to(always),
        }
    return responses


def _has_etag(operation: _Operation) -> bool:
    return hasattr(operation.response_type, "etag") or operation.name == "get_file"


def _supports_not_modified(operation: _Operation) -> bool:
    return operation.method == "get" and hasattr(operation.response_type, "etag")


def _refer_to(headers: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
