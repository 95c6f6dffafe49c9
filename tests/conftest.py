"""Shared fixtures: the same tests run in-process and over sockets, blocking and asynchronous, on both engines."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from anyio.from_thread import start_blocking_portal

from common_lib import AsyncHttpRegistry, HttpRegistry, ModelRegistry, Operation, RegistryConfig
from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.serving import running
from registry_server.settings import Settings
from registry_server.testing import TestBackend

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres", "tests.support.state", "tests.support.workers"]


class ViaAsync(ModelRegistry):
    """The asynchronous client behind the blocking interface, so that one suite tests both."""

    def __init__(self, portal: Any, registry: AsyncHttpRegistry) -> None:
        self._portal = portal
        self._registry = registry

    def call(self, operation: Operation[Any]) -> Any:
        """Run the operation in the asynchronous client on its own event loop."""
        return self._portal.call(self._registry.call, operation)


@pytest.fixture(autouse=True)
def logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that writes, check `replay(events) == state`, unless the test damages stored data on purpose."""
    if request.node.get_closest_marker("damages"):
        yield
        return
    # Imported as a plug-in of pytest first, so that its asserts are rewritten.
    from tests.support.logs import checked_logs  # noqa: PLC0415

    with checked_logs():
        yield


@pytest.fixture(autouse=True)
def cache(model_registry_cache: Path) -> Path:
    """Provide an empty cache folder for one test."""
    return model_registry_cache


@pytest.fixture(scope="session")
def migrated_template(postgres: "Postgres") -> str:
    """Provide the name of a database with the current schema."""
    # Imported by pytest as a plug-in first, so that its asserts are rewritten.
    from tests.support.postgres import database_name  # noqa: PLC0415

    url = postgres.create_database("template")
    # On a loop of its own: the first test that wants it may be asynchronous.
    with start_blocking_portal() as portal:
        portal.call(PostgresDatabase(url).migrate)
    return database_name(url)


@pytest.fixture
def postgres_url(postgres: "Postgres", migrated_template: str) -> Iterator[str]:
    """Provide a new migrated database for one test."""
    url = postgres.create_from_template(migrated_template)
    yield url
    postgres.drop_database(url)


class Server(NamedTuple):
    """A server over real sockets and the data behind it."""

    url: str
    data: Path
    database_url: str

    @property
    def token(self) -> str:
        """The token of the first admin."""
        return (self.data / "admin-token").read_text().strip()

    def registry(self) -> HttpRegistry:
        """Return a blocking registry of the first admin."""
        # Without stored answers: other clients of the same test change what it reads.
        return HttpRegistry(RegistryConfig(url=self.url, token=self.token, resolve=None))


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Provide a shared server on an SQLite file; its tests use distinct names."""
    data = tmp_path_factory.mktemp("sqlite-server")
    with running(Settings(data=data, port=0, access_log=False)) as url:
        yield Server(url, data, "")


@pytest.fixture(scope="session")
def postgres_server_of_session(
    tmp_path_factory: pytest.TempPathFactory, postgres: "Postgres", migrated_template: str
) -> Iterator[Server]:
    """Provide a shared server on PostgreSQL; its tests use distinct names."""
    data = tmp_path_factory.mktemp("postgres-server")
    database_url = postgres.create_from_template(migrated_template)
    with running(Settings(data=data, port=0, access_log=False, database_url=database_url)) as url:
        yield Server(url, data, database_url)
    postgres.drop_database(database_url)


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Server:
    """Provide a server over sockets, on each engine."""
    found: Server = request.getfixturevalue(
        "sqlite_server" if request.param == "sqlite" else "postgres_server_of_session"
    )
    return found


_WORLDS = [f"{place}-{client}" for place in ("memory", "sqlite", "postgres") for client in ("blocking", "async")]


@pytest.fixture(params=_WORLDS)
def registry(request: pytest.FixtureRequest) -> Iterator[ModelRegistry]:
    """Provide a registry of the admin: in-process and over sockets, both clients, both engines.

    The servers are shared, so each test uses its own names.
    """
    place, client = request.param.split("-")
    if place == "memory":
        backend: TestBackend = request.getfixturevalue("model_registry_backend")
        blocking, asynchronous = backend.registry, backend.async_registry
    else:
        found: Server = request.getfixturevalue("sqlite_server" if place == "sqlite" else "postgres_server_of_session")
        config = RegistryConfig(url=found.url, token=found.token)
        blocking, asynchronous = lambda: HttpRegistry(config), lambda: AsyncHttpRegistry(config)
    if client == "blocking":
        with blocking() as this:
            yield this
    else:
        with start_blocking_portal() as portal:
            that = portal.call(_made, asynchronous)
            yield ViaAsync(portal, that)
            portal.call(that.close)


async def _made(make: Callable[[], AsyncHttpRegistry]) -> AsyncHttpRegistry:
    return make()


@pytest.fixture
def name() -> str:
    """Provide a model name that no other test uses."""
    return f"model-{uuid.uuid4().hex[:12]}"
