"""A server on a data folder, within this process, whose every call to the disk passes the recorder."""

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
from tests.support.state import assert_events_tell_the_state

# What is acknowledged behind this was asked for while the calls were recorded.
ACTING = "acting"


class Refused(AssertionError):
    """An answer that is no success."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}")


class Session:
    """The first admin at a server; what was acknowledged is told to whoever watches."""

    def __init__(self, data: Path, env: Environment, client: httpx.AsyncClient, kept: Callable[[str], None]) -> None:
        self.data = data
        self.env = env
        self.kept = kept
        self._client = client

    async def send(self, method: str, path: str, content: bytes | None = None, **headers: str) -> dict[str, Any]:
        """The body of the answer.

        Raises:
            Refused: it is no success.
        """
        pieces = None if content is None else _pieces(content)
        answer = await self._client.request(method, f"/v1{path}", content=pieces, headers=headers)
        if not answer.is_success:
            raise Refused(answer.status_code, answer.json()["code"])
        return json.loads(answer.content) if answer.content else {}

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a JSON document, under a key that is the same whenever the same is sent."""
        content = json.dumps(body).encode()
        key = hashlib.sha256(path.encode() + content).hexdigest()[:32]
        headers = {"content-type": "application/json", "idempotency-key": key}
        return await self.send("POST", path, content, **headers)

    async def put(self, content: bytes, sha256: str = "") -> None:
        """Upload bytes in one piece."""
        sha256 = sha256 or digest(content)
        await self.send("PUT", f"/blobs/{sha256}", content)
        self.kept(sha256)

    async def put_in_parts(self, content: bytes, length: int) -> None:
        """Upload bytes in parts, going on where the server is."""
        sha256 = digest(content)
        begin = json.dumps({"size": len(content)}).encode()
        upload = await self.send("PUT", f"/uploads/{sha256}", begin, **{"content-type": "application/json"})
        while not upload["complete"]:
            start = upload["received"]
            part = content[start : start + length]
            prefix = digest(content[: start + len(part)])
            upload = await self._part(sha256, start, part, prefix, begin)
        self.kept(sha256)

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
    """The SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


@cache
def disk() -> Disk:
    """The file system of this process that SQLite uses."""
    return Disk("recorded-disk")


@cache
def _app() -> Litestar:
    return composition.create_app(Settings(data=Path("unused"), access_log=False))


class _Answering:
    """The application; the moment of an answer is in the list."""

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
    """Write down what the server does from here on."""
    disk().recorder = _answering.recorder = recorder
    try:
        with recorded(recorder):
            yield recorder
    finally:
        disk().recorder = _answering.recorder = None


@asynccontextmanager
async def serving(data: Path, kept: Callable[[str], None] = lambda _: None) -> AsyncIterator[Session]:
    """A server on that folder, and a session at it."""
    database = partial(SqliteDatabase, vfs=disk().name)
    # Small pieces, so that a small file is several writes.
    with mock.patch.object(composition, "SqliteDatabase", database), mock.patch.object(stream_to_file, "CHUNK", 64):
        async with composition.opened(Settings(data=data, access_log=False)) as env:
            composition.connect(_app(), env)
            token = (data / "admin-token").read_text().strip()
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=_answering),
                base_url="http://registry.test",
                headers={"authorization": f"Bearer {token}"},
            ) as client:
                yield Session(data, env, client, kept)


def run(
    data: Path,
    prepare: Any,
    act: Any,
    *,
    recorder: Recorder | None = None,
    kept: Callable[[str], None] = lambda _: None,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Prepare a registry, then act on it, watched; `then` comes before it closes."""

    async def both() -> None:
        async with serving(data, kept) as session:
            await prepare(session)
        # Opened anew, so that nothing of what came before is still on its way.
        async with serving(data, kept) as session:
            kept(ACTING)
            with nullcontext() if recorder is None else watched(recorder):
                await act(session)
            then()

    asyncio.run(both())


async def assert_consistent(session: Session, kept: set[str], damaged: set[str]) -> None:
    """Fail unless all that was acknowledged is there, and nothing stands under a name that is not its own."""
    blobs = session.data / "blobs"
    assert not list((blobs / "staging").iterdir()), "staging was not cleaned"
    found = {path.name: digest(path.read_bytes()) for path in (blobs / "sha256").rglob("*") if path.is_file()}
    wrong = {name for name, actual in found.items() if name != actual}
    assert wrong <= damaged, f"other bytes under a final name: {wrong}"
    rows = await session.env.database.read.artifacts.list_blobs("", 1_000)
    sound = {row.sha256 for row in rows if row.quarantined_at is None}
    digests = {one for one in kept if "/" not in one}
    assert digests - damaged <= sound, "an acknowledged row was lost"
    for version in kept - digests:
        model, number = version.split("/")
        assert await session.env.database.read.versions.find(model, int(number)), "an acknowledged version was lost"
    assert sound - damaged <= set(found), "a row without bytes"
    for row in rows:
        if row.sha256 in found and row.sha256 not in damaged:
            assert row.size == (blobs / "sha256" / row.sha256[:2] / row.sha256).stat().st_size
    database: Any = session.env.database
    await assert_events_tell_the_state(database._writer)
