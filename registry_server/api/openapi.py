"""The OpenAPI document: addresses and parameters as Litestar knows them, bodies as msgspec reads and writes them."""

from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig

from registry_server.api.exchange import HttpRequest
from registry_server.api.problems import PROBLEMS, Problem
from registry_server.domain.events import CloudEvent
from registry_server.domain.versions import ModelVersion

CONFIG = OpenAPIConfig(
    title="Model Registry", version="1.0.0", path="/-", render_plugins=[], use_handler_docstrings=True
)
_UNSAFE = {"post", "patch", "put", "delete"}
_REFERENCE = "#/components/schemas/{name}"
# What handlers answer that build their bytes themselves.
_BYTES: dict[str, tuple[str, Any]] = {
    "resolve_version": ("application/json", ModelVersion),
    "list_events": ("application/cloudevents-batch+json", list[CloudEvent]),
    "get_file": ("application/octet-stream", bytes),
    "metrics": ("text/plain", str),
}


@get("/openapi.json", include_in_schema=False)
async def document(request: HttpRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document of this server."""
    return Response(msgspec.json.encode(build(request.app), order="sorted"), media_type="application/json")


def build(app: Litestar) -> dict[str, Any]:
    """The document as JSON values."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    handlers = {
        (route.path_format, method.lower()): handler
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        for method in handler.http_methods
        if method.lower() in document["paths"].get(route.path_format, {})
    }
    bodies = {key: _bodies(handler) for key, handler in handlers.items()}
    types = [body for pair in bodies.values() for body in pair if body is not None]
    schemas, definitions = msgspec.json.schema_components([*types, Problem], ref_template=_REFERENCE)
    schema_of = dict(zip(map(repr, [*types, Problem]), schemas, strict=True))
    document["components"] = {
        "schemas": definitions,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mrg_…"}},
    }
    codes = ", ".join(f"`{code}` ({kind.status})" for code, kind in PROBLEMS.items())
    problem = {
        "description": f"A problem: {codes}",
        "content": {"application/problem+json": {"schema": schema_of[repr(Problem)]}},
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            handler = handlers[path, method]
            taken, given = bodies[path, method]
            operation["operationId"] = handler.handler_name
            operation["responses"] = _answers(handler, given, schema_of) | {"default": problem}
            if taken is not None:
                content = {"application/json": {"schema": schema_of[repr(taken)]}}
                operation["requestBody"] = {"required": True, "content": content}
            elif handler.handler_name == "put_blob":
                content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
                operation["requestBody"] = {"required": True, "content": content}
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_references(parameter["schema"], app)
            if not path.startswith("/health"):
                operation["security"] = [{"token": []}]
                if method in _UNSAFE:
                    operation.setdefault("parameters", []).extend(_headers(handler.handler_name))
    return document


def _bodies(handler: HTTPRouteHandler) -> tuple[Any, Any]:
    """The types that a handler takes and gives."""
    declared = handler.fn.__annotations__
    given = declared["return"]
    if handler.handler_name in _BYTES:
        given = _BYTES[handler.handler_name][1]
    elif (origin := get_origin(given)) is not None and origin is Response:
        (given,) = get_args(given)
    taken = get_args(declared["data"])[0] if "data" in declared else None
    return taken, None if given in {bytes, type(None)} else given


def _answers(handler: HTTPRouteHandler, given: Any, schema_of: dict[str, Any]) -> dict[str, Any]:
    media_type = _BYTES.get(handler.handler_name, ("application/json", None))[0]
    if given is not None:
        content = {"content": {media_type: {"schema": schema_of[repr(given)]}}}
    elif media_type == "application/octet-stream":
        content = {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}
    else:
        content = {}
    statuses = {handler.status_code: "Done"}
    if handler.handler_name in {"put_blob", "set_alias"}:
        statuses = {200: "It was so already, or it was moved", 201: "Created"}
    if "GET" in handler.http_methods and hasattr(given, "etag"):
        statuses[304] = "The caller has it: If-None-Match named its ETag"
    return {
        str(status): {"description": text} | ({} if status == 304 else content)  # noqa: PLR2004 - Not Modified
        for status, text in statuses.items()
    }


def _without_references(schema: Any, app: Litestar) -> Any:
    """A parameter's schema with Litestar's own references written out; the components are msgspec's."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            original = app.openapi_schema.to_schema()["components"]["schemas"]
            return original[schema["$ref"].rpartition("/")[2]]
        return {key: _without_references(value, app) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_without_references(value, app) for value in schema]
    return schema


def _headers(operation: str) -> list[dict[str, Any]]:
    def header(name: str, text: str, *, required: bool = False) -> dict[str, Any]:
        return {"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}}

    key = "a fresh random UUID for each change, the same one when repeating it"
    headers = [header("Idempotency-Key", key, required=operation != "put_blob")]
    if operation.startswith(("update_", "tombstone_", "transition_", "set_", "delete_")):
        headers.append(header("If-Match", "the ETag of what the change is based on, or * to force it"))
    if operation == "set_alias":
        headers.append(header("If-None-Match", "* to create an alias that is not there yet"))
    return headers
