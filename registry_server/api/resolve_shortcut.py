"""Resolves a reference to a version without Litestar, because this is the most frequent request of every service.

Routing, arguments and the response cost Litestar more than the rest of the request. Only plain requests that succeed
are handled here. All others go on to the handler of the same route, which resolves the reference again.
"""

import re
from typing import Any, Final

from litestar.datastructures import State
from litestar.types import ASGIApp, Receive, Scope, Send

from common_lib.rules.violation import RuleViolation
from registry_server.api.http import RawResponse, asgi_entity_response, header_twice
from registry_server.api.telemetry import find_header
from registry_server.core import references
from registry_server.domain.errors import RegistryError
from registry_server.domain.versions import ModelVersion

# No percent sign: a path with encoded characters is unusual.
_RESOLVE: Final = re.compile(rb"^/v1/models/([A-Za-z0-9._-]+)/resolve/(@?[A-Za-z0-9_-]+)$(?!\n)")
_TEMPLATE: Final = "/v1/models/{name}/resolve/{selector}"


class ResolveShortcut:
    """Responds to plain resolve requests that succeed, and passes every other request to the application."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        raw: Any = scope
        plain = raw["type"] == "http" and raw["method"] == "GET" and not raw["query_string"]
        match = _RESOLVE.match(raw["raw_path"]) if plain else None
        answer = (
            None
            if match is None or header_twice(raw) is not None
            else await self._answer(raw, match[1].decode(), match[2].decode())
        )
        if answer is None:
            await self._app(scope, receive, send)
        else:
            raw["path_template"] = _TEMPLATE
            await answer(scope, receive, send)

    async def _answer(self, scope: Any, name: str, selector: str) -> RawResponse[ModelVersion] | None:
        state = self._state
        try:
            caller = await state.authenticator.authenticate(find_header(scope, b"authorization"))
            return asgi_entity_response(scope, await references.resolve(state.env.database, caller, name, selector))
        except (RegistryError, RuleViolation):
            return None
