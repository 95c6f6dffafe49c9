"""Who is calling: the token in the Authorization header, looked up at most every two seconds."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Request

from registry_server.api.rate_limits import TokenBuckets
from registry_server.api.telemetry import find_header
from registry_server.core import principals
from registry_server.core.ports import Database
from registry_server.core.rights import Caller
from registry_server.domain.errors import RateLimited, Unauthenticated

_FRESH_S = 2.0
_MOST = 10_000


class Authenticator:
    """Lets callers in by their token; forgets what it knew after two seconds, so that a revocation is seen soon."""

    def __init__(self, database: Database, now: Callable[[], datetime], failures: TokenBuckets | None = None) -> None:
        self._database = database
        self._now = now
        self._failures = TokenBuckets(0.0, 0.0) if failures is None else failures
        self._known: dict[str, tuple[float, datetime, Caller]] = {}

    async def authenticate(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the caller behind an Authorization header.

        Wrong tokens are counted for the peer they come from. A valid token is never refused because of others from
        its peer, which may be a proxy that all clients share.

        Raises:
            Unauthenticated: the header is missing or its token is not valid.
            RateLimited: the token is not valid, and the peer has sent too many of these.
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
        try:
            token, caller = await principals.authenticate(self._database, secret, self._now())
        except Unauthenticated:
            self._count_failure(peer)
            raise
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[authorization or ""] = (time.monotonic() + _FRESH_S, token.expires_at, caller)
        return caller

    def _count_failure(self, peer: str) -> None:
        wait_s = self._failures.take(peer, 1.0) if peer else 0.0
        if wait_s:
            raise RateLimited(
                f"the token is not valid, and {peer} has sent too many that are not",
                remedy="send a current token, which is taken at once, or wait as long as Retry-After says",
                field="peer",
                value=peer,
                code="too_many_failures",
                retry_after_s=wait_s,
            ) from None

    def forget(self) -> None:
        """Look everybody up again: a token was revoked or a grant changed."""
        self._known.clear()


async def authenticate(request: Request[Any, Any, Any]) -> Caller:
    """Return the caller of a request, and keep it for the log and for later looks."""
    authenticator: Authenticator = request.app.state.authenticator
    scope: Any = request.scope
    client = scope.get("client")
    known: Caller = await authenticator.authenticate(find_header(scope, b"authorization"), client[0] if client else "")
    scope.setdefault("registry_caller", known)
    return known


def find_caller(scope: Any) -> Caller | None:
    """Return whom a request was let in as, or None if it has not been let in."""
    found: Caller | None = scope.get("registry_caller")
    return found
