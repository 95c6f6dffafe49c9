"""The OpenAPI document: Litestar's, with the headers, problems and strictness it does not know of."""

from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.openapi.config import OpenAPIConfig

from registry_server.api.exchange import HttpRequest
from registry_server.api.problems import PROBLEMS, Problem

_UNSAFE = {"post", "patch", "put", "delete"}
CONFIG = OpenAPIConfig(title="Model Registry", version="1.0.0", path="/-", render_plugins=[])


@get("/openapi.json", include_in_schema=False)
async def document(request: HttpRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document of this server."""
    return Response(msgspec.json.encode(build(request.app), order="sorted"), media_type="application/json")


def build(app: Litestar) -> dict[str, Any]:
    """The document as JSON values."""
    schema = app.openapi_schema.to_schema()
    (problem_schema,), definitions = msgspec.json.schema_components(
        [Problem], ref_template="#/components/schemas/{name}"
    )
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mrg_…"}}
    content = {"application/problem+json": {"schema": problem_schema}}
    codes = ", ".join(f"`{code}` ({kind.status})" for code, kind in PROBLEMS.items())
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            operation["responses"] = {
                status: answer for status, answer in operation["responses"].items() if status < "4"
            } | {"default": {"description": f"A problem: {codes}", "content": content}}
            if path.startswith("/health"):
                continue
            operation["security"] = [{"token": []}]
            if method in _UNSAFE:
                operation.setdefault("parameters", []).extend(_headers(method, path))
    return schema


def _headers(method: str, path: str) -> list[dict[str, Any]]:
    def header(name: str, text: str, *, required: bool) -> dict[str, Any]:
        return {"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}}

    key = header(
        "Idempotency-Key",
        "a fresh random UUID for each change, the same one when repeating it",
        required="/blobs/" not in path,
    )
    if (method == "post" and not path.endswith(("/transition", "/tombstone"))) or "/blobs/" in path:
        return [key]
    match = header("If-Match", "the ETag of what the change is based on, or * to force it", required=False)
    return [key, match]
