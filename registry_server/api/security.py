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
        self._known: dict[str, tuple[float, datetime, Caller]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header.

        Raises:
            Unauthenticated: the header is missing or its token is not valid.
        """
        known = self._known.get(authorization or "")
        # Both clocks: the one by which tokens end may be set, and only the other says how long ago this was read.
        if known is not None and time.monotonic() < known[0] and self._now() < known[1]:
            return known[2]
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "the request carries no token",
                remedy="send Authorization: Bearer mrg_…; an admin makes tokens by `registry-server token create`",
            )
        token, caller = await principals.authenticate(self._database, secret, self._now())
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[authorization or ""] = (time.monotonic() + _FRESH_S, token.expires_at, caller)
        return caller

    def forget(self) -> None:
        """Look everybody up again: a token was revoked or a grant changed."""
        self._known.clear()


async def caller(request: Request[Any, Any, Any]) -> Caller:
    """The caller of a request."""
    gate: Gate = request.app.state.gate
    known: Caller = await gate.caller(header(request.scope, b"authorization"))
    return known
