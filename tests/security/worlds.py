"""A registry in this process with a model, accessible by HTTP and by its stored state."""

import contextlib
import hashlib
import json
import logging
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from common_lib import ModelRegistry
from common_lib.own_files import replace_own
from registry_server.app import use_environment
from registry_server.core.bootstrap import ensure_admin
from registry_server.infrastructure import postgres, sqlite
from registry_server.queries.sql import Sql
from registry_server.testing import PortalTransport, TestBackend, backend
from tests.support.state import stored
from tests.support.steps import version_of

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

MODEL = "eurusd-direction"
CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
}


class World:
    """The application on one engine; no other program may write to its database."""

    def __init__(self, backend: TestBackend, database_url: str = "") -> None:
        self.backend = backend
        self._tables: str | None = None
        backend.reset()
        if database_url:
            backend._portal.call(self._move, database_url)

    @property
    def token(self) -> str:
        """Token of the first admin."""
        return self.backend.token()

    def http(self, token: str | None = None, **headers: str) -> httpx.Client:
        """Return an HTTP client that sends a token with each request, or no token."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = PortalTransport(self.backend._app, self.backend._portal)
        return httpx.Client(transport=transport, base_url="http://registry.test", headers=headers)

    def send(self, method: str, target: str, body: Any = None, headers: dict[str, Any] | None = None) -> httpx.Response:
        """Send a request as the admin; a body that is not bytes becomes JSON, and a header that is None is omitted."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        usual = {"content-type": "application/json", "if-match": "*"} | key()
        present = {name: value for name, value in (usual | (headers or {})).items() if value is not None}
        with self.http(self.token) as http:
            url = httpx.URL("http://registry.test").copy_with(raw_path=target.encode())
            return http.request(method, url, content=content, headers=present)

    def stored_state(self) -> dict[str, Any]:
        """Return every object, the number of rows in each table, and every file of bytes."""
        return self.backend._portal.call(self._read_state)

    def advance_clock(self, by: timedelta) -> None:
        """Move the clock of the application forward."""
        env = self.backend.env
        self._connect(msgspec.structs.replace(env, now=lambda: env.now() + by))

    def copied(self) -> "contextlib.AbstractContextManager[None]":
        """Let the block change a copy of all rows, and restore the original afterwards. For SQLite only."""
        return _copied(self)

    def close(self) -> None:
        """Close the database."""
        self.backend._portal.call(self.backend.env.database.close)  # type: ignore[attr-defined]

    def _connect(self, env: Any) -> None:
        self.backend.env = env
        use_environment(self.backend._app, env)

    async def _move(self, database_url: str) -> None:
        database = postgres.PostgresDatabase(database_url)
        await database.open()
        env = msgspec.structs.replace(self.backend.env, database=database)
        await ensure_admin(env, self.backend._home / "admin-token", replace_own)
        self._connect(env)

    async def _read_state(self) -> dict[str, Any]:
        database: Any = self.backend.env.database
        on_postgres = isinstance(database, postgres.PostgresDatabase)
        sql: Sql = postgres.Connection(database._pool) if on_postgres else database._writer
        tables = [row[0] for row in await sql.fetch(TABLES["postgres" if on_postgres else "sqlite"])]
        count = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables)  # noqa: S608
        files = (self.backend._home / "blobs").rglob("*")
        return {
            "objects": await stored(sql),
            "rows": {row[0]: row[1] for row in await sql.fetch(count)},
            "files": sorted(file.name for file in files if file.is_file()),
        }


@contextlib.contextmanager
def _copied(world: World) -> Iterator[None]:
    before = world.backend.env
    original: Any = before.database

    async def copy() -> sqlite.SqliteDatabase:
        database = sqlite.SqliteDatabase(None)
        await database.open()
        with database._writer.raw.backup("main", original._writer.raw, "main") as rows:
            rows.step(-1)
        return database

    world._connect(msgspec.structs.replace(before, database=world.backend._portal.call(copy), in_flight=set()))
    try:
        yield
    finally:
        world.close()
        world._connect(before)


@contextlib.contextmanager
def open_world_in_memory() -> Iterator[World]:
    """Open a world with a model on an SQLite database in memory."""
    with backend() as application, contextlib.closing(World(application)) as world:
        with application.registry() as registry:
            create_example_model(registry, MODEL)
        yield world


@contextlib.contextmanager
def open_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Open a world with a model on the engine of the fixture's parameter: `memory` or `postgres`."""
    with contextlib.ExitStack() as stack:
        url = ""
        if request.param == "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            url = server.create_from_template(request.getfixturevalue("migrated_template"))
            stack.callback(server.drop_database, url)
        application = stack.enter_context(backend())
        world = World(application, url)
        stack.callback(world.close)
        with application.registry() as registry:
            create_example_model(registry, MODEL)
        yield world


@contextlib.contextmanager
def assert_unchanged(world: World) -> Iterator[None]:
    """Fail if the block changes the stored state or logs a failure of the server."""
    before = world.stored_state()
    with logged() as log:
        yield
    assert log.failures == []
    assert world.stored_state() == before


def create_example_model(registry: ModelRegistry, name: str) -> None:
    """Create a model with version 1 in development and alias `shadow`, and version 2 in staging."""
    registry.models.create(name, "regression", description="as it was", tags={"team": "fx"})
    version_of(registry, name, CONTENT)
    version_of(registry, name, CONTENT)
    registry.versions.transition(name, 2, "staging", revision=1)
    registry.aliases.create(name, "shadow", 1)


def key() -> dict[str, str]:
    """Return the header of a fresh idempotency key."""
    return {"idempotency-key": uuid.uuid4().hex}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """Check that a response is a complete problem without internal details, and return it."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    refusal: dict[str, Any] = answer.json()
    assert refusal["status"] == answer.status_code
    assert refusal["type"] == f"urn:model-registry:problem:{refusal['code']}"
    assert refusal["title"]
    assert refusal["detail"]
    assert refusal["remedy"]
    assert refusal["request_id"] == answer.headers["x-request-id"]
    assert len(answer.content) < 4_000
    assert "Traceback" not in answer.text
    return refusal


class LogRecorder(logging.Handler):
    """A log handler that stores all lines, even if propagation is off."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.failures: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Store the whole line with its traceback."""
        line = self.format(record)
        self.lines.append(f"{line} {sorted(map(str, record.__dict__.values()))}")
        if record.levelno >= logging.ERROR:
            self.failures.append(line)


@contextlib.contextmanager
def logged() -> Iterator[LogRecorder]:
    """Record the log lines of this process within the block."""
    recorder = LogRecorder()
    loggers = [logging.getLogger(name) for name in (None, "registry_server", "uvicorn.error", "litestar")]
    for logger in loggers:
        logger.addHandler(recorder)
    try:
        yield recorder
    finally:
        for logger in loggers:
            logger.removeHandler(recorder)
