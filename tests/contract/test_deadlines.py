"""The server works for a caller as long as the caller waits, and not ten times longer: on every route."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from registry_server.core import diff
from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure import durable_blobs
from registry_server.infrastructure.filesystem import FilesystemBlobs
from registry_server.infrastructure.records.artifacts import ArtifactRecords
from registry_server.infrastructure.sqlite import SqliteDatabase
from tests.contract.test_methods import addresses, filled
from tests.security.worlds import MODEL, SHA256, World, in_memory, key, logged, problem

DEADLINE_MS = 50
WAIT_S = DEADLINE_MS / 1000
# If a deadline had no effect, a test would wait so long.
HANG_S = 1.0


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One registry for all of this file."""
    with in_memory() as shared:
        yield shared


class Hanging:
    """A gate at which everybody waits; it counts those who were let go."""

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
        raise StorageUnavailable("nobody gave up", remedy="mend the deadline")


def test_every_route_ends_with_the_deadline_of_its_caller(world: World) -> None:
    """Within a few times of it all together, with 504, and the work on it is given up."""
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
    """Wrap a look at the disk or the database so that it takes a millisecond of the event loop's time."""

    async def look(*_: Any) -> Any:
        counted.append(1)
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass
        return result

    return look


def asked(world: World, method: str, path: str, body: Any = None) -> httpx.Response:
    """Send the request of a caller that waits for 50 ms."""
    return world.send(method, path, body, {"x-request-deadline-ms": str(DEADLINE_MS)})


def test_a_question_after_a_thousand_blobs_ends_in_between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though no single look suspends."""
    counted: list[int] = []
    monkeypatch.setattr(ArtifactRecords, "find_blob", slow(counted))
    answer = asked(world, "POST", "/v1/presence", {"sha256": [f"{n:064x}" for n in range(1_000)]})
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    assert len(counted) < 500


def test_a_collection_ends_in_between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it looks for files without a row."""
    counted: list[int] = []
    monkeypatch.setattr(ArtifactRecords, "find_blob", slow(counted, result=True))
    monkeypatch.setattr(FilesystemBlobs, "list_published", lambda *_: iter([(SHA256, 7, 1e9)] * 4))
    answer = asked(world, "POST", "/v1/collection", {"dry_run": True})
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    assert 0 < len(counted) < 500


def test_a_comparison_ends_in_between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of however many files."""
    counted: list[int] = []
    compared = diff.comparison.compared

    def long(*sides: Any) -> Iterator[Any]:
        (one, *_) = compared(*sides)
        for _ in range(20_000):
            counted.append(1)
            end = time.perf_counter() + 0.00005
            while time.perf_counter() < end:
                pass
            yield one

    monkeypatch.setattr(diff.comparison, "compared", long)
    answer = asked(world, "GET", f"/v1/models/{MODEL}/versions/1/diff/2")
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    assert len(counted) < 10_000


def test_a_verification_ends_in_between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that never ends is not read on."""
    counted: list[int] = []

    def endless(*_: Any) -> int:
        counted.append(1)
        return 1 if len(counted) < 100_000 else 0

    monkeypatch.setattr(durable_blobs, "_read_into", endless)
    answer = asked(world, "POST", f"/v1/blobs/{SHA256}/verify")
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    read = len(counted)
    assert world.send("GET", "/v1/whoami").status_code == 200
    assert 0 < len(counted) <= read + 1


def test_a_list_that_nobody_waits_for_does_not_hold_up_the_next(tmp_path: Path) -> None:
    """SQLite is interrupted, and only the statement that was given up ends."""
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


def test_a_server_that_cannot_answer_says_when_to_come_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After, from what is asked before a token is, and from what is asked with one."""

    async def failing(*_: Any) -> NoReturn:
        raise StorageUnavailable("the database is away", remedy="try again")

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
