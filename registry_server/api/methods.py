"""HEAD and OPTIONS for every address, which its handlers know nothing of."""

from typing import Any, Final

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

# A mark in the scope: bytes that nobody will see need not be read.
OMIT_BODY: Final = "registry_head"


def format_allow(methods: Any) -> str:
    """Write methods as `Allow` does: in order, HEAD wherever there is GET, and OPTIONS always.

    >>> listed(["PUT", "GET"])
    'GET, HEAD, OPTIONS, PUT'
    """
    return ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))


class HeadAndOptions:
    """Answers HEAD as GET without its body, and OPTIONS with all methods of the address."""

    def __init__(self, app: ASGIApp, litestar: Litestar) -> None:
        self._app = app
        self._allowed = {route.path_format: format_allow(route.methods) for route in litestar.routes if _is_http(route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        method = raw["method"] if raw["type"] == "http" else None
        if method == "HEAD":
            await self._head(raw, receive, send)
        elif method == "OPTIONS":
            await self._options(raw, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, raw: Any, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy: the server below must go on seeing HEAD, or it would wait for the bytes that are announced.
        asked = {**raw, "method": "GET", OMIT_BODY: True}
        try:
            await self._app(asked, receive, without_body)  # type: ignore[arg-type]
        finally:
            if "path_template" in asked:
                raw["path_template"] = asked["path_template"]

    async def _options(self, raw: Any, receive: Receive, send: Send) -> None:
        async def with_all(message: Message) -> None:
            if message["type"] == "http.response.start" and "path_template" in raw:
                # Litestar knows the methods of one handler only.
                others = [header for header in message["headers"] if header[0].lower() != b"allow"]
                allowed = self._allowed[raw["path_template"]].encode()
                message["headers"] = [*others, (b"allow", allowed)]
            await send(message)

        await self._app(raw, receive, with_all)


def _is_http(route: Any) -> bool:
    return hasattr(route, "methods")
