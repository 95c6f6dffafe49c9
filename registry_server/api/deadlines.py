"""Deadlines of clients: after `X-Request-Deadline-Ms` milliseconds, client and server give up the request."""

import asyncio
import re
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from registry_server.api import problems
from registry_server.api.telemetry import find_header
from registry_server.domain import errors

_MILLISECONDS = re.compile(r"^[0-9]{1,9}$(?!\n)")


class Deadlines:
    """Cancels the work on a request when the client's deadline has passed.

    A write whose commit has begun is not undone. The next attempt with the same Idempotency-Key gets its response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        text = find_header(raw, b"x-request-deadline-ms") if raw["type"] == "http" else None
        if text is None:
            await self._app(scope, receive, send)
            return
        if not _MILLISECONDS.match(text):
            await _refuse(raw, send, errors.DeadlineMalformed(text))
            return
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(int(text) / 1000):
                await self._app(scope, receive, observed)
        except TimeoutError:
            if not started:
                await _refuse(raw, send, errors.DeadlineExceeded(text))
            elif "registry_abort" in raw:
                # The client has stopped waiting in the middle of a response: that is not an error of the server.
                raw["registry_abort"]()
                await asyncio.sleep(0)  # the protocol is notified in the next turn of the loop


async def _refuse(scope: Any, send: Any, error: errors.RegistryError) -> None:
    response = problems.answer(error, scope["registry_request_id"])
    headers = problems.raw_headers(response)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else response.content
    await send({"type": "http.response.body", "body": body, "more_body": False})
