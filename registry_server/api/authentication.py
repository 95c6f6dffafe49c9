"""Authentication: find the caller by the token in the Authorization header, and cache the result for two seconds."""

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
from registry_server.domain import errors

_FRESH_S = 2.0
_MOST = 10_000


class Authenticator:
    """Authenticates callers by their token; caches each result for two seconds, so a revocation takes effect soon."""

    def __init__(self, database: Database, now: Callable[[], datetime], failures: TokenBuckets | None = None) -> None:
        self._database = database
        self._now = now
        self._failures = TokenBuckets(0.0, 0.0) if failures is None else failures
        self._cache: dict[str, tuple[float, datetime, Caller]] = {}

    async def authenticate(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the caller behind an Authorization header.

        Invalid tokens are counted for each peer. The peer may be a proxy that all clients share, so a valid token is
        never refused because the peer has sent invalid ones.

        Raises:
            Unauthenticated: the header is missing or its token is not valid.
            TooManyFailures: the token is not valid, and the peer has sent too many invalid ones.
        """
        cached = self._cache.get(authorization or "")
        # Two clocks: tokens expire by the wall clock, which may be set; the age of the entry is monotonic time.
        if cached is not None and time.monotonic() < cached[0] and self._now() < cached[1]:
            return cached[2]
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise errors.TokenMissing
        try:
            token, caller = await principals.authenticate(self._database, secret, self._now())
        except errors.Unauthenticated:
            self._count_failure(peer)
            raise
        if len(self._cache) >= _MOST:
            self._cache.clear()
        self._cache[authorization or ""] = (time.monotonic() + _FRESH_S, token.expires_at, caller)
        return caller

    def _count_failure(self, peer: str) -> None:
        wait_s = self._failures.take(peer, 1.0) if peer else 0.0
        if wait_s:
            raise errors.TooManyFailures(peer, wait_s) from None

    def forget(self) -> None:
        """Empty the cache, because a token was revoked or a grant changed."""
        self._cache.clear()


async def authenticate(request: Request[Any, Any, Any]) -> Caller:
    """Return the caller of a request, and store it in the scope, for the log and for later checks of its grants."""
    authenticator: Authenticator = request.app.state.authenticator
    scope: Any = request.scope
    client = scope.get("client")
    caller: Caller = await authenticator.authenticate(find_header(scope, b"authorization"), client[0] if client else "")
    scope.setdefault("registry_caller", caller)
    return caller


def find_caller(scope: Any) -> Caller | None:
    """Return the caller of a request as first authenticated, or None if the request was not authenticated."""
    caller: Caller | None = scope.get("registry_caller")
    return caller
