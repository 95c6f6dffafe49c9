"""Around every request: an id, one log line, one histogram; one ASGI wrapper, because three middlewares cost more."""

import os
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from litestar import Request
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram

from registry_server.logs import AccessLine

# A label for each word that somebody sends would fill the memory.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ENCODED_SLASH = re.compile(rb"%(2f)", re.IGNORECASE)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$(?!\n)")


def id_of(request: Request[Any, Any, Any]) -> str:
    """The id of a request, which stands in its answer, its log line and its event."""
    scope: Any = request.scope
    return str(scope["registry_request_id"])


def header(scope: Any, name: bytes) -> str | None:
    """A header by its lower-case name, without the table of all of them that Litestar would build first.

    What stands twice is one value with a comma (RFC 9110, 5.3), so that two tokens are no token.

    >>> header({"headers": [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]}, b"authorization")
    'Bearer a, Bearer b'
    """
    given = None
    for found, value in scope["headers"]:
        if found == name:
            given = value if given is None else b"%b, %b" % (given, value)
    return None if given is None else str(given, "latin-1")


class Telemetry:
    """Measures an ASGI application; a well-formed X-Request-Id of the caller is kept, any other is replaced."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, *, access_log: bool) -> None:
        self._app = app
        self._access_log = access_log
        self._seconds = Histogram(
            "registry_request_seconds", "Time to answer", ["method", "route", "status"], registry=registry
        )
        self._labelled: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        if raw["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%2" in raw["raw_path"]:
            _keep_slashes_encoded(raw)
        given = header(raw, b"x-request-id")
        request_id = given if given and _REQUEST_ID.match(given) else os.urandom(16).hex()
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
            if self._access_log:
                ms = round(elapsed * 1000, 3)
                AccessLine(datetime.now(UTC), request_id, raw["method"], raw["path"], status, ms).write()

    def _observe(self, method: str, route: str, status: int, elapsed: float) -> None:
        key = (method if method in _METHODS else "other", route, status)
        labelled = self._labelled.get(key)
        if labelled is None:
            labelled = self._labelled[key] = self._seconds.labels(*key)
        labelled.observe(elapsed)


def _keep_slashes_encoded(scope: Any) -> None:
    # `a%2Fb` is one name, which no rule lets pass; as `a/b` it would lead to what another address stands for.
    encoded, count = _ENCODED_SLASH.subn(rb"%25\1", scope["raw_path"])
    if count:
        scope["raw_path"], scope["path"] = encoded, unquote(encoded)
