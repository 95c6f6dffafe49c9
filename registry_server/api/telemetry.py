"""An ASGI wrapper that adds the id, log line and metrics of every request. Three middlewares would cost more."""

import os
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from litestar import Request
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram

from registry_server.core import principals
from registry_server.logs import AccessLine, log_security_event

# Other methods share one label: a label for each word that a client sends would fill the memory.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Responses with these statuses go to the security log, whether access is logged or not.
_REFUSED = frozenset({401, 403, 429})
_ENCODED_SLASH = re.compile(rb"%(2f)", re.IGNORECASE)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$(?!\n)")


def get_request_id(request: Request[Any, Any, Any]) -> str:
    """Return the id of a request. The response, the log line and the event contain the same id."""
    scope: Any = request.scope
    return str(scope["registry_request_id"])


def find_header(scope: Any, name: bytes) -> str | None:
    """Find the value of a header by its lower-case name; Litestar would first build a table of all headers.

    If a header occurs twice, its values are joined by a comma (RFC 9110, 5.3). Therefore two tokens never form a valid
    one.

    >>> find_header({"headers": [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]}, b"authorization")
    'Bearer a, Bearer b'
    """
    joined = None
    for found, value in scope["headers"]:
        if found == name:
            joined = value if joined is None else b"%b, %b" % (joined, value)
    return None if joined is None else str(joined, "latin-1")


def format_peer(client: Any) -> str | None:
    """Format the address and port of the client as text; return None if the connection has no socket.

    >>> format_peer(("::1", 5)), format_peer(("127.0.0.1", 5)), format_peer(None)
    ('[::1]:5', '127.0.0.1:5', None)
    """
    if not client:
        return None
    host, port = client[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_fields(scope: Any) -> dict[str, Any]:
    """Return the fields for the security log that describe a request and its caller; unknown fields are left out."""
    caller = scope.get("registry_caller")
    return {
        "peer": format_peer(scope.get("client")),
        "principal": None if caller is None else caller.name,
        "token": _token_id(find_header(scope, b"authorization")) if caller is None else caller.token_id or None,
        "request_id": scope.get("registry_request_id"),
        "method": scope["method"],
        "path": scope["path"],
        "code": scope.get("registry_code"),
    }


def _token_id(authorization: str | None) -> str | None:
    # Even an unknown, expired or revoked token has an id, and with the id an operator can find the principal.
    secret = (authorization or "").partition(" ")[2]
    return principals.token_id(secret) if principals.is_well_formed(secret) else None


class RequestTelemetry:
    """Measures and logs the requests of an ASGI application; uses the client's X-Request-Id if it is well-formed."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, *, access_log: bool) -> None:
        self._app = app
        self._access_log = access_log
        self._seconds = Histogram(
            "registry_request_seconds",
            "Time from request to response",
            ["method", "route", "status"],
            registry=registry,
        )
        self._labelled: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        if raw["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%2" in raw["raw_path"]:
            _preserve_encoded_slashes(raw)
        sent = find_header(raw, b"x-request-id")
        request_id = sent if sent and _REQUEST_ID.match(sent) else os.urandom(16).hex()
        raw["registry_request_id"] = request_id
        status, began = 500, time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            elapsed = time.perf_counter() - began
            self._observe(raw["method"], raw.get("path_template", "(none)"), status, elapsed)
            if status in _REFUSED:
                log_security_event("refused", status=status, **log_fields(raw))
            if self._access_log:
                ms = round(elapsed * 1000, 3)
                AccessLine(datetime.now(UTC), request_id, raw["method"], raw["path"], status, ms).write()

    def _observe(self, method: str, route: str, status: int, elapsed: float) -> None:
        key = (method if method in _METHODS else "other", route, status)
        labelled = self._labelled.get(key)
        if labelled is None:
            labelled = self._labelled[key] = self._seconds.labels(*key)
        labelled.observe(elapsed)


def _preserve_encoded_slashes(scope: Any) -> None:
    # `a%2Fb` is one name, which is never valid; decoded to `a/b` it would be another address.
    encoded, count = _ENCODED_SLASH.subn(rb"%25\1", scope["raw_path"])
    if count:
        scope["raw_path"], scope["path"] = encoded, unquote(encoded)
