"""A registry for tests: the real application in the process of the tests, with SQLite in memory.

One application serves a whole test session; `reset` gives it a fresh database in a few milliseconds. There are no
sockets and no mocks: requests go through the real client, the real HTTP stack and the real rules.
"""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from litestar import Litestar

from common_lib.client.async_http_registry import AsyncHttpRegistry
from common_lib.client.http_registry import HttpRegistry
from common_lib.config import RegistryConfig, ResolveRules
from common_lib.own_files import replace_own
from common_lib.rules.access import PrincipalKind, Role
from common_lib.types.principals import Grant
from registry_server.app import create_app, use_environment
from registry_server.core.bootstrap import ensure_admin
from registry_server.core.environment import Environment
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.inprocess import URL, PortalTransport
from registry_server.settings import Settings


class TestBackend:
    """One application and the registries that use it.

    `registry()` and `async_registry()` return a registry for an admin; pass a role to get fewer rights. Resolve
    requests are never answered from the cache, so each registry sees the changes of the others at once. A registry
    serves a stale answer only while `common_lib.faults` prevents a fresh answer, and leaves no file for the next test.
    """

    __test__ = False
    resolve = ResolveRules(fresh_s=0.0, revalidate_s=0.0, persist=False)

    def __init__(self, app: Litestar, portal: BlockingPortal, folder: Path) -> None:
        self._app = app
        self._portal = portal
        self._folder = folder
        self._home = folder / "none-yet"
        self._database: SqliteDatabase | None = None
        self.env: Environment

    def reset(self) -> None:
        """Replace the registry of the application by an empty registry."""
        self._portal.call(self._reset)

    def registry(self, role: Role | str = Role.ADMIN, models: str = "*") -> HttpRegistry:
        """Return a registry with blocking calls, for a new principal with that role on those models."""
        config = RegistryConfig(url=URL, token=self.token(role, models), resolve=self.resolve)
        return HttpRegistry(config, transport=PortalTransport(self._app, self._portal))

    def async_registry(self, role: Role | str = Role.ADMIN, models: str = "*") -> AsyncHttpRegistry:
        """Return a registry with asynchronous calls, for a new principal with that role on those models."""
        config = RegistryConfig(url=URL, token=self.token(role, models), resolve=self.resolve)
        return AsyncHttpRegistry(config, transport=httpx.ASGITransport(app=self._app))  # type: ignore[arg-type]

    def token(self, role: Role | str = Role.ADMIN, models: str = "*") -> str:
        """Issue a token for a new principal with that role on those models.

        Without arguments, return the first admin's token.
        """
        admin = (self._home / "admin-token").read_text().strip()
        if Role(role) is Role.ADMIN and models == "*":
            return admin
        config = RegistryConfig(url=URL, token=admin, resolve=None)
        with HttpRegistry(config, transport=PortalTransport(self._app, self._portal)) as registry:
            name = f"{Role(role)}-{uuid.uuid4().hex[:8]}"
            registry.principals.create(name, PrincipalKind.SERVICE, [Grant(role=Role(role), models=models)])
            return registry.principals.issue_token(name).secret or ""

    async def _reset(self) -> None:
        if self._database is not None:
            await self._database.close()
            shutil.rmtree(self._home)
        self._home = self._folder / uuid.uuid4().hex
        self._home.mkdir()
        blobs = FilesystemBlobs(self._home / "blobs")
        blobs.open_store()
        self._database = database = SqliteDatabase(None)
        await database.open()
        self.env = Environment(database, blobs, lambda: datetime.now(UTC), lambda: uuid.uuid4().hex, set())
        await ensure_admin(self.env, self._home / "admin-token", replace_own)
        use_environment(self._app, self.env)


@contextlib.contextmanager
def backend() -> Iterator[TestBackend]:
    """Provide an application in this process for any number of tests; call `reset` before each test.

    Example:
        >>> with backend() as world:
        ...     world.reset()
        ...     world.registry().models.create("eurusd", "forecasting").revision
        1
    """
    folder = Path(tempfile.mkdtemp(prefix="registry-test-"))
    try:
        with start_blocking_portal() as portal:
            # A test may send as many requests in a second as clients send in an hour, so quotas are off.
            settings = Settings(data=folder, memory=True, access_log=False, wrong_tokens_per_min=0, write_bytes_per_s=0)
            yield TestBackend(create_app(settings), portal, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
