"""Support for HEAD and OPTIONS at every address; the handlers need no code for them."""

from typing import Any, Final

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

# A key in the scope of a HEAD request: the response needs no body, so its bytes need not be read.
OMIT_BODY: Final = "registry_head"


def format_allow(methods: Any) -> str:
    """Format methods for the `Allow` header: sorted, with HEAD wherever there is GET, and always with OPTIONS.

    >>> format_allow(["PUT", "GET"])
    'GET, HEAD, OPTIONS, PUT'
    """
    return ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))


class HeadAndOptions:
    """Responds to HEAD as to GET but without a body, and to OPTIONS with all methods of the address."""

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

        # A copy: uvicorn must still see HEAD, otherwise it would wait for the bytes that Content-Length announces.
        copy = {**raw, "method": "GET", OMIT_BODY: True}
        try:
            await self._app(copy, receive, without_body)  # type: ignore[arg-type]
        finally:
            if "path_template" in copy:
                raw["path_template"] = copy["path_template"]

    async def _options(self, raw: Any, receive: Receive, send: Send) -> None:
        async def with_all_methods(message: Message) -> None:
            if message["type"] == "http.response.start" and "path_template" in raw:
                # Litestar lists the methods of one handler only.
                others = [header for header in message["headers"] if header[0].lower() != b"allow"]
                allowed = self._allowed[raw["path_template"]].encode()
                message["headers"] = [*others, (b"allow", allowed)]
            await send(message)

        await self._app(raw, receive, with_all_methods)


def _is_http(route: Any) -> bool:
    return hasattr(route, "methods")
