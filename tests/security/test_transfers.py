"""Bytes in and out, for clients that interfere with themselves, leave in the middle or tell half a story."""

import asyncio
import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.infrastructure import stream_to_file
from registry_server.serving import running
from registry_server.settings import Settings
from tests.security.test_sockets import DEADLINE_S, MIB, Served, status
from tests.security.worlds import LogRecorder, logged
from tests.support.steps import version_of

LARGE = 256 * MIB


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all of this file, with a large version 1 of a model."""
    data = tmp_path_factory.mktemp("served")
    with running(Settings(data=data, port=0, access_log=False, scrub_bytes_per_s=0)) as url:
        server = Served(url, data)
        with HttpRegistry(RegistryConfig(url=url, token=server.token)) as registry:
            registry.models.create("a", "regression")
            version_of(registry, "a", bytes(LARGE))
        yield server


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """An admin's plain HTTP."""
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}) as client:
        yield client


@pytest.fixture(autouse=True)
def log() -> Iterator[LogRecorder]:
    """Record the log of one test, and check that no error of the server was logged."""
    with logged() as recorder:
        yield recorder
    assert recorder.failures == []


@pytest.fixture
def content() -> bytes:
    """Bytes that nobody has sent yet."""
    return os.urandom(3_000)


def sha256(content: bytes) -> str:
    """The digest of the bytes."""
    return hashlib.sha256(content).hexdigest()


def begun(http: httpx.Client, content: bytes) -> dict[str, Any]:
    """The upload of these bytes, announced."""
    answer = http.put(f"/v1/uploads/{sha256(content)}", json={"size": len(content)})
    assert answer.status_code == 200, answer.text
    refusal: dict[str, Any] = answer.json()
    return refusal


def part(http: httpx.Client, content: bytes, start: int, end: int) -> httpx.Response:
    """Send a part of these bytes and return the response."""
    prefix = {"x-prefix-sha256": sha256(content[:end])}
    return http.put(f"/v1/uploads/{sha256(content)}/parts/{start}", content=content[start:end], headers=prefix)


def interrupted(served: Served, content: bytes, end: int, meanwhile: Callable[[], None]) -> bytes:
    """Send the first part of an upload and return the response."""
    digest = sha256(content)
    head = served.head(
        f"PUT /v1/uploads/{digest}/parts/0", f"content-length: {end}", f"x-prefix-sha256: {sha256(content[:end])}"
    )
    arriving = served.data / "blobs" / "uploads" / f"admin.{digest}"
    with served.connect() as connection:
        connection.sendall(head + content[: end // 2])
        wait(arriving.exists)
        meanwhile()
        connection.sendall(content[end // 2 : end])
        return connection.recv(MIB)


def wait(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


@pytest.mark.parametrize("end", [2_000, 3_000], ids=["a first part", "the only part"])
def test_an_upload_does_not_expire_while_a_part_arrives(
    served: Served, http: httpx.Client, content: bytes, end: int
) -> None:
    """The second request must wait, and the bytes come out whole."""
    begun(http, content)

    def forget() -> None:
        refused = http.delete(f"/v1/uploads/{sha256(content)}")
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_flight")

    assert status(interrupted(served, content, end, forget)) == 200
    if end < len(content):
        assert part(http, content, end, len(content)).json()["complete"]
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


@pytest.mark.parametrize("end", [2_000, 3_000], ids=["a first part", "the only part"])
def test_an_upload_succeeds_if_its_bytes_arrive_by_another_request(
    served: Served, http: httpx.Client, content: bytes, end: int
) -> None:
    """Two clients with one token may send the same bytes at once, each in its own way."""
    begun(http, content)

    def whole() -> None:
        assert http.put(f"/v1/blobs/{sha256(content)}", content=content).status_code == 201
        assert begun(http, content)["complete"]

    assert status(interrupted(served, content, end, whole)) == 200
    assert begun(http, content)["complete"]
    assert not list((served.data / "blobs" / "uploads").glob(f"*{sha256(content)}"))
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_two_parts_at_once_are_not_mixed(served: Served, http: httpx.Client, content: bytes) -> None:
    """The second request must wait."""
    begun(http, content)

    def second() -> None:
        refused = part(http, content, 0, 5)
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_flight")
        assert refused.headers["retry-after"] == "1"

    assert status(interrupted(served, content, len(content), second)) == 200
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_an_upload_whose_file_is_lost_starts_again(served: Served, http: httpx.Client, content: bytes) -> None:
    """Though the running digest of what came is still known, the bytes are asked for again."""
    begun(http, content)
    assert part(http, content, 0, 2_000).status_code == 200
    (served.data / "blobs" / "uploads" / f"admin.{sha256(content)}").unlink()
    refused = part(http, content, 2_000, 3_000)
    assert (refused.status_code, refused.json()["code"]) == (404, "upload_not_found")
    assert begun(http, content)["received"] == 0
    assert part(http, content, 0, 3_000).json()["complete"]
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_a_repeated_key_loses_no_bytes(http: httpx.Client, content: bytes) -> None:
    """Requests about bytes have no key: an old answer in place of a new one would promise what was not kept."""
    headers = {"idempotency-key": "the-same-key", "content-type": "application/vnd.model-registry.blobs"}
    for one in (content[:10], content[10:20]):
        body = struct.pack(">32sQ", hashlib.sha256(one).digest(), len(one)) + one
        assert http.post("/v1/blobs", content=body, headers=headers).json()["missing"] == []
        assert http.get(f"/v1/blobs/{sha256(one)}").status_code == 200


def test_no_bytes_are_read_for_an_aborted_download(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 MiB only what was on its way is read from the disk."""
    counted = Counted(monkeypatch)
    raw = served.head("GET /v1/models/a/versions/1/files/model.bin")
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        connection.sendall(raw)
        assert connection.recv(1)
    wait(lambda: counted.closed)
    assert counted.chunks < LARGE // MIB // 2


class Counted:
    """Count the bytes of blobs that are read in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from registry_server.infrastructure.filesystem import FilesystemBlobs  # noqa: PLC0415

        self.chunks, self.closed = 0, False
        plain = FilesystemBlobs.read_chunks

        def counting(store: FilesystemBlobs, *args: Any) -> Iterator[bytes]:
            try:
                for chunk in plain(store, *args):
                    self.chunks += 1
                    yield chunk
            finally:
                self.closed = True

        monkeypatch.setattr(FilesystemBlobs, "read_chunks", counting)


def test_a_cancelled_request_closes_no_file_that_a_thread_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops cancels its requests: the number of a closed file may be that of the database by then."""
    began, go = threading.Event(), threading.Event()
    plain = stream_to_file.write_all

    def slow(descriptor: int, chunk: bytes) -> None:
        began.set()
        assert go.wait(DEADLINE_S)
        plain(descriptor, chunk)

    monkeypatch.setattr(stream_to_file, "write_all", slow)

    async def endless() -> AsyncIterator[list[bytes]]:
        while True:
            yield [b"x"]

    async def cancelled() -> int:
        descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        task = asyncio.ensure_future(stream_to_file.write_stream(descriptor, hashlib.sha256(), endless(), 100))
        await asyncio.to_thread(began.wait, DEADLINE_S)
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert not task.done()
        go.set()
        await asyncio.wait([task], timeout=DEADLINE_S)
        assert task.cancelled()
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        return size

    assert asyncio.run(cancelled()) >= 1
