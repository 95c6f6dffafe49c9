"""A server in this process on a data folder; the recorder sees each of its disk calls."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from litestar import Litestar

import registry_server.app as composition
from registry_server.core.environment import Environment
from registry_server.infrastructure import stream_to_file
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.settings import Settings
from tests.crash.calls import Disk, Recorder, recorded
from tests.support.state import assert_events_match_the_state

# Responses after this line belong to requests made while the calls were recorded.
ACTING = "acting"


class Refused(AssertionError):
    """A response that is not a success."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}")


class Session:
    """A session of the first admin; it reports what the server acknowledged."""

    def __init__(
        self, data: Path, env: Environment, client: httpx.AsyncClient, acknowledged: Callable[[str], None]
    ) -> None:
        self.data = data
        self.env = env
        self.acknowledged = acknowledged
        self._client = client

    async def send(self, method: str, path: str, content: bytes | None = None, **headers: str) -> dict[str, Any]:
        """Send a request and return the body of the response.

        Raises:
            Refused: the response is not a success.
        """
        pieces = None if content is None else _pieces(content)
        answer = await self._client.request(method, f"/v1{path}", content=pieces, headers=headers)
        if not answer.is_success:
            raise Refused(answer.status_code, answer.json()["code"])
        return json.loads(answer.content) if answer.content else {}

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Send a JSON document and return the response; equal documents have the same idempotency key."""
        content = json.dumps(body).encode()
        key = hashlib.sha256(path.encode() + content).hexdigest()[:32]
        headers = {"content-type": "application/json", "idempotency-key": key}
        return await self.send("POST", path, content, **headers)

    async def put(self, content: bytes, sha256: str = "") -> None:
        """Upload bytes in one piece."""
        sha256 = sha256 or digest(content)
        await self.send("PUT", f"/blobs/{sha256}", content)
        self.acknowledged(sha256)

    async def put_in_parts(self, content: bytes, length: int) -> None:
        """Upload bytes in parts, from the position that the server has."""
        sha256 = digest(content)
        begin = json.dumps({"size": len(content)}).encode()
        upload = await self.send("PUT", f"/uploads/{sha256}", begin, **{"content-type": "application/json"})
        while not upload["complete"]:
            start = upload["received"]
            part = content[start : start + length]
            prefix = digest(content[: start + len(part)])
            upload = await self._part(sha256, start, part, prefix, begin)
        self.acknowledged(sha256)

    async def _part(self, sha256: str, start: int, part: bytes, prefix: str, begin: bytes) -> dict[str, Any]:
        try:
            return await self.send("PUT", f"/uploads/{sha256}/parts/{start}", part, **{"x-prefix-sha256": prefix})
        except Refused as refused:
            if refused.code != "upload_not_found":
                raise
            return await self.send("PUT", f"/uploads/{sha256}", begin, **{"content-type": "application/json"})


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 64):
        yield content[start : start + 64]


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


@cache
def disk() -> Disk:
    """Return the file system that SQLite uses in this process."""
    return Disk("recorded-disk")


@cache
def _app() -> Litestar:
    return composition.create_app(Settings(data=Path("unused"), access_log=False))


class _Answering:
    """Run the application and record the moment of each response."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300 and self.recorder:
                self.recorder.tell("answer", str(message["status"]))
            await send(message)

        await _app()(scope, receive, sent)


_answering = _Answering()


@contextmanager
def watched(recorder: Recorder) -> Any:
    """Record the calls of the server from now on."""
    disk().recorder = _answering.recorder = recorder
    try:
        with recorded(recorder):
            yield recorder
    finally:
        disk().recorder = _answering.recorder = None


@asynccontextmanager
async def serving(data: Path, acknowledged: Callable[[str], None] = lambda _: None) -> AsyncIterator[Session]:
    """Run a server on that folder, and yield a session."""
    database = partial(SqliteDatabase, vfs=disk().name)
    # Small chunks, so that a small file needs several writes.
    with mock.patch.object(composition, "SqliteDatabase", database), mock.patch.object(stream_to_file, "CHUNK", 64):
        async with composition.open_environment(Settings(data=data, access_log=False)) as env:
            composition.use_environment(_app(), env)
            token = (data / "admin-token").read_text().strip()
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=_answering),
                base_url="http://registry.test",
                headers={"authorization": f"Bearer {token}"},
            ) as client:
                yield Session(data, env, client, acknowledged)


def run(
    data: Path,
    prepare: Any,
    act: Any,
    *,
    recorder: Recorder | None = None,
    acknowledged: Callable[[str], None] = lambda _: None,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Prepare a registry, then act on it and record the calls; run `then` before it closes."""

    async def both() -> None:
        async with serving(data, acknowledged) as session:
            await prepare(session)
        # Opened again, so that no earlier work is unfinished.
        async with serving(data, acknowledged) as session:
            acknowledged(ACTING)
            with nullcontext() if recorder is None else watched(recorder):
                await act(session)
            then()

    asyncio.run(both())


async def assert_consistent(session: Session, acknowledged: set[str], damaged: set[str]) -> None:
    """Fail unless all acknowledged data exist and every file has the bytes of its name."""
    blobs = session.data / "blobs"
    assert not list((blobs / "staging").iterdir()), "staging was not cleaned"
    found = {path.name: digest(path.read_bytes()) for path in (blobs / "sha256").rglob("*") if path.is_file()}
    wrong = {name for name, actual in found.items() if name != actual}
    assert wrong <= damaged, f"other bytes under a final name: {wrong}"
    rows = await session.env.database.read.artifacts.list_blobs("", 1_000)
    sound = {row.sha256 for row in rows if row.quarantined_at is None}
    digests = {one for one in acknowledged if "/" not in one}
    assert digests - damaged <= sound, "an acknowledged row was lost"
    for version in acknowledged - digests:
        model, number = version.split("/")
        assert await session.env.database.read.versions.find(model, int(number)), "an acknowledged version was lost"
    assert sound - damaged <= set(found), "a row without bytes"
    for row in rows:
        if row.sha256 in found and row.sha256 not in damaged:
            assert row.size == (blobs / "sha256" / row.sha256[:2] / row.sha256).stat().st_size
    database: Any = session.env.database
    await assert_events_match_the_state(database._writer)
