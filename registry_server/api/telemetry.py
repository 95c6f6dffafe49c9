"""Around every request: an id, one log line, one histogram; one ASGI wrapper, because three middlewares cost more."""

import logging
import re
import time
import uuid
from typing import Any

from litestar import Request
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram

_access = logging.getLogger("registry_server.access")
# A label for each word that somebody sends would fill the memory.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$(?!\n)")


def request_id(request: Request[Any, Any, Any]) -> str:
    """The id of a request, which stands in its answer, its log line and its event."""
    scope: Any = request.scope
    return str(scope["registry_request_id"])


class Telemetry:
    """Measures an ASGI application; a well-formed X-Request-Id of the caller is kept, any other is replaced."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "registry_request_seconds", "Time to answer", ["method", "route", "status"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        if raw["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in raw["headers"] if name == b"x-request-id"), "")
        this = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        raw["registry_request_id"] = this
        status, began = 500, time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", this.encode())]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            elapsed = time.perf_counter() - began
            route = raw.get("path_template", "(none)")
            method = raw["method"] if raw["method"] in _METHODS else "other"
            self._seconds.labels(method, route, status).observe(elapsed)
            if _access.isEnabledFor(logging.INFO):
                fields = {"request_id": this, "method": raw["method"], "path": raw["path"], "status": status}
                _access.info("request", extra=fields | {"ms": round(elapsed * 1000, 3)})
