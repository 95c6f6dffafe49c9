"""Who is calling: the token in the Authorization header, looked up at most every two seconds."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Request

from registry_server.api.telemetry import header
from registry_server.core import principals
from registry_server.core.ports import Database
from registry_server.core.rights import Caller
from registry_server.domain.errors import Unauthenticated

_FRESH_S = 2.0
_MOST = 10_000


class Gate:
    """Lets callers in by their token; forgets what it knew after two seconds, so that a revocation is seen soon."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._known: dict[str, tuple[float, Caller]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header.

        Raises:
            Unauthenticated: the header is missing or its token is not valid.
        """
        known = self._known.get(authorization or "")
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "the request carries no token",
                remedy="send Authorization: Bearer mrg_…; an admin makes tokens by `registry-server token create`",
            )
        now = self._now()
        token, caller = await principals.authenticate(self._database, secret, now)
        if len(self._known) >= _MOST:
            self._known.clear()
        fresh_s = min(_FRESH_S, (token.expires_at - now).total_seconds())
        self._known[authorization or ""] = (time.monotonic() + fresh_s, caller)
        return caller

    def forget(self) -> None:
        """Look everybody up again: a token was revoked or a grant changed."""
        self._known.clear()


async def caller(request: Request[Any, Any, Any]) -> Caller:
    """The caller of a request."""
    gate: Gate = request.app.state.gate
    known: Caller = await gate.caller(header(request.scope, b"authorization"))
    return known
