"""The application in this process behind the real client: for tests, and for tools while no server runs."""

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
from registry_server.app import connect, create_app, opened
from registry_server.core.bootstrap import ADMIN
from registry_server.core.environment import Environment
from registry_server.core.rights import Caller
from registry_server.domain.principals import Grant
from registry_server.settings import Settings

URL = "http://registry.test"


class PortalTransport(httpx.BaseTransport):
    """Blocking requests to an ASGI application that runs on the event loop of another thread."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]], portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer by the application."""
        return self._portal.call(self._handle, request)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        body = b"".join(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else b""
        passed = httpx.Request(request.method, request.url, headers=request.headers, stream=httpx.ByteStream(body))
        answer = await self._inner.handle_async_request(passed)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(await answer.aread()))


class OwnerAuthenticator(Authenticator):
    """Lets in, as the first admin and without a token, whoever could open the database: so a lost token is replaced."""

    def __init__(self, env: Environment, *, force: bool) -> None:
        super().__init__(env.database, env.now)
        self._force = force
        self._read = env.database.read

    async def authenticate(self, authorization: str | None, peer: str = "") -> Caller:  # noqa: ARG002 - none is asked for
        """The first admin with all rights, whatever became of their grants."""
        admin = await self._read.principals.find(ADMIN)
        if admin is None:
            raise AssertionError("an opened registry has its first admin")
        return Caller(msgspec.structs.replace(admin, grants=[Grant(Role.ADMIN, "*")]), unguarded=self._force)


@contextlib.contextmanager
def owned(settings: Settings, *, force: bool = False) -> Iterator[HttpRegistry]:
    """The first admin's registry on a data folder that this process owns for as long as the block lasts.

    With `force` a change may leave the registry without an admin.

    Raises:
        FolderInUse: another process owns the data folder.
    """
    app = create_app(settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened(settings)) as env:
        connect(app, env)
        app.state.authenticator = OwnerAuthenticator(env, force=force)
        with HttpRegistry(
            RegistryConfig(url=URL, token="", resolve=None), transport=PortalTransport(app, portal)
        ) as registry:
            yield registry
