"""Deadlines on every route: the server stops its work for a caller soon after the caller stops waiting."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from registry_server.core import versions
from registry_server.domain.errors import DatabaseClosed
from registry_server.infrastructure import durable_blobs
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.queries.artifacts import ArtifactRecords
from tests.contract.test_methods import addresses, filled
from tests.security.worlds import MODEL, SHA256, World, key, logged, open_world_in_memory, problem

DEADLINE_MS = 50
WAIT_S = DEADLINE_MS / 1000
# If a deadline had no effect, a test would wait so long.
HANG_S = 1.0


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide one registry for all tests of this file."""
    with open_world_in_memory() as shared:
        yield shared


class Hanging:
    """An authenticator that waits for too long; it counts the callers that it let through."""

    def __init__(self) -> None:
        self.waited = self.given_up = 0

    async def authenticate(self, *_: str | None) -> NoReturn:
        """Wait for longer than anybody should."""
        self.waited += 1
        try:
            await asyncio.sleep(HANG_S)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        raise DatabaseClosed


def test_every_route_ends_with_the_deadline_of_its_caller(world: World) -> None:
    """The answer is 504 within a few times the deadline, and the work is cancelled."""
    routes = [(method.upper(), filled(path)) for path, methods in addresses(world).items() for method in methods]
    routes = [(m, path) for m, path in routes if not path.startswith(("/health", "/openapi"))]
    routes += [("HEAD", path) for m, path in routes if m == "GET"]
    state = world.backend._app.state
    authenticator, hanging = state.authenticator, Hanging()
    state.authenticator = hanging
    try:
        with world.http(world.token, **{"x-request-deadline-ms": str(DEADLINE_MS)}) as http:
            began = time.monotonic()
            for method, path in routes:
                answer = http.request(method, path, headers=key())
                assert answer.status_code == 504, (method, path)
                assert answer.headers["x-request-id"]
                if method != "HEAD":
                    assert problem(answer)["code"] == "deadline_exceeded"
            assert time.monotonic() - began < 5 * WAIT_S * len(routes)
    finally:
        state.authenticator = authenticator
    assert hanging.waited == hanging.given_up == len(routes) > 60


def slow(counted: list[int], result: Any = None) -> Callable[..., Any]:
    """Wrap a check of the disk or the database so that it blocks the event loop for a millisecond."""

    async def look(*_: Any) -> Any:
        counted.append(1)
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass
        return result

    return look


def send_with_short_deadline(world: World, method: str, path: str, body: Any = None) -> httpx.Response:
    """Send the request of a caller that waits for 50 ms."""
    return world.send(method, path, body, {"x-request-deadline-ms": str(DEADLINE_MS)})


def test_a_presence_check_of_a_thousand_blobs_stops_at_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops although no single check suspends."""
    counted: list[int] = []
    monkeypatch.setattr(ArtifactRecords, "find_blob", slow(counted))
    answer = send_with_short_deadline(world, "POST", "/v1/presence", {"sha256": [f"{n:064x}" for n in range(1_000)]})
    refusal = problem(answer)
    assert (answer.status_code, refusal["code"]) == (504, "deadline_exceeded")
    assert (refusal["field"], refusal["value"]) == ("X-Request-Deadline-Ms", str(DEADLINE_MS))
    assert len(counted) < 500


def test_a_collection_stops_at_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops while it looks for orphaned files."""
    counted: list[int] = []
    monkeypatch.setattr(ArtifactRecords, "find_blob", slow(counted, result=True))
    monkeypatch.setattr(FilesystemBlobs, "list_published", lambda *_: iter([(SHA256, 7, 1e9)] * 4))
    answer = send_with_short_deadline(world, "POST", "/v1/collection", {"dry_run": True})
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    assert 0 < len(counted) < 500


def test_a_comparison_stops_at_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops although the two versions have many files."""
    counted: list[int] = []
    compare = versions.comparison.compare

    def long(*sides: Any) -> Iterator[Any]:
        (one, *_) = compare(*sides)
        for _ in range(20_000):
            counted.append(1)
            end = time.perf_counter() + 0.00005
            while time.perf_counter() < end:
                pass
            yield one

    monkeypatch.setattr(versions.comparison, "compare", long)
    answer = send_with_short_deadline(world, "GET", f"/v1/models/{MODEL}/versions/1/diff/2")
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    assert len(counted) < 10_000


def test_a_verification_stops_at_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without end is not read further."""
    counted: list[int] = []

    def endless(*_: Any) -> int:
        counted.append(1)
        return 1 if len(counted) < 100_000 else 0

    monkeypatch.setattr(durable_blobs, "_read_into", endless)
    answer = send_with_short_deadline(world, "POST", f"/v1/blobs/{SHA256}/verify")
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    read = len(counted)
    assert world.send("GET", "/v1/whoami").status_code == 200
    assert 0 < len(counted) <= read + 1


def test_an_abandoned_list_does_not_delay_the_next(tmp_path: Path) -> None:
    """SQLite interrupts the abandoned statement, and no other."""
    asyncio.run(_give_up(tmp_path / "registry.sqlite3"))


async def _give_up(path: Path) -> None:
    database = SqliteDatabase(path)
    await database.open()
    try:
        sql: Any = database.read.models._sql  # type: ignore[attr-defined]
        long = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 40000000) SELECT count(*) FROM c"
        for _ in range(20):
            running = asyncio.ensure_future(sql.fetch(long))
            waiting = [asyncio.ensure_future(sql.fetch("SELECT ?1", n)) for n in range(3)]
            while sql._running is None:  # noqa: ASYNC110 - it begins in another thread
                await asyncio.sleep(0)
            waiting[1].cancel()
            # To give up one that has not begun stops nobody.
            assert not (await asyncio.wait([running], timeout=0.01))[0]
            running.cancel()
            async with asyncio.timeout(HANG_S * 2):
                done = await asyncio.gather(running, *waiting, return_exceptions=True)
            assert [type(one) for one in done[::2]] == [asyncio.CancelledError] * 2
            assert [[tuple(row) for row in rows] for rows in done[1::2]] == [[(0,)], [(2,)]]
    finally:
        await database.close()


def test_an_unavailable_server_says_when_to_retry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is 503 with Retry-After, both before and after the token is checked."""

    async def failing(*_: Any) -> NoReturn:
        raise DatabaseClosed

    database: Any = world.backend.env.database
    monkeypatch.setattr(database, "ping", failing)
    monkeypatch.setattr(type(database.read.models), "find", failing)
    monkeypatch.setattr(type(database.read.versions), "find_newest", failing)
    with logged():
        for path in ("/health/ready", f"/v1/models/{MODEL}", f"/v1/models/{MODEL}/resolve/latest"):
            for method in ("GET", "HEAD"):
                answer = world.send(method, path)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
                assert answer.headers["content-type"] == "application/problem+json"
