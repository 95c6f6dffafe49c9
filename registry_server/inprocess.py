"""Runs the application in this process and connects the real client to it, for tests and for tools without a server."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from common_lib.client.http_registry import HttpRegistry
from common_lib.config import RegistryConfig
from common_lib.rules.access import Role
from registry_server.api.authentication import Authenticator
from registry_server.app import create_app, open_environment, use_environment
from registry_server.core.bootstrap import ADMIN
from registry_server.core.environment import Environment
from registry_server.core.rights import Caller
from registry_server.domain.principals import Grant
from registry_server.settings import Settings

URL = "http://registry.test"


class PortalTransport(httpx.BaseTransport):
    """A transport for blocking requests to an ASGI application on the event loop of another thread."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]], portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Run the application for one request, and return its response."""
        return self._portal.call(self._handle, request)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        body = b"".join(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else b""
        passed = httpx.Request(request.method, request.url, headers=request.headers, stream=httpx.ByteStream(body))
        response = await self._inner.handle_async_request(passed)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=httpx.ByteStream(await response.aread())
        )


class _OwnerAuthenticator(Authenticator):
    """Authenticates every request as the first admin, without a token: for the owner of the database."""

    def __init__(self, env: Environment, *, force: bool) -> None:
        super().__init__(env.database, env.now)
        self._force = force
        self._read = env.database.read

    async def authenticate(self, authorization: str | None, peer: str = "") -> Caller:  # noqa: ARG002 - no token is needed
        """Return the first admin as the caller, with all rights even if the admin's grants were removed."""
        admin = await self._read.principals.find(ADMIN)
        if admin is None:
            raise AssertionError("every opened registry has a first admin")
        return Caller(msgspec.structs.replace(admin, grants=[Grant(Role.ADMIN, "*")]), unguarded=self._force)


@contextlib.contextmanager
def open_as_owner(settings: Settings, *, force: bool = False) -> Iterator[HttpRegistry]:
    """Open a data folder as its owner until the block ends; yield a registry that acts as the first admin.

    With `force`, changes that leave the registry without an admin are allowed.

    Raises:
        FolderInUse: another process owns the data folder.
    """
    app = create_app(settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_environment(settings)) as env:
        use_environment(app, env)
        app.state.authenticator = _OwnerAuthenticator(env, force=force)
        with HttpRegistry(
            RegistryConfig(url=URL, token="", resolve=None), transport=PortalTransport(app, portal)
        ) as registry:
            yield registry
